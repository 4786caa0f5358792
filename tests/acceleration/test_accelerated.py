"""An accelerated network computes what the plain one does, and attacks on it keep their promises."""

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, fastest_choices, in_parts, usual_candidates
from infoplane.acceleration import probe as probing
from infoplane.attacks import L2PGD, AttackWarning, LinfPGD
from infoplane.config import TrainingConfig
from infoplane.models import LeNet5, WideResNet, construct
from infoplane.training import Trainer, adversarial_training
from infoplane.wrappers import named_layers, unwrapped

NETWORKS = {"lenet": LeNet5, "wideresnet": lambda: WideResNet(image_size=28, channels=1)}
PARTS = Choices(workers=2)
LOW = Choices(precision="bf16", workers=2)


@pytest.fixture
def images(generator) -> Tensor:
    return torch.rand(50, 1, 28, 28, generator=generator)


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(50) % 10


@pytest.fixture(params=NETWORKS)
def network(request) -> nn.Module:
    return construct(NETWORKS[request.param], seed=0).to(memory_format=torch.channels_last).eval()


def test_parts_are_all_rows_in_order_on_threads_of_their_own():
    seen = in_parts(lambda rows: (rows, threading.current_thread().name), 50, 3)
    assert [rows for rows, _ in seen] == [slice(0, 16), slice(16, 33), slice(33, 50)]
    assert all("infoplane-part" in name for _, name in seen)


@pytest.mark.parametrize(("number", "workers", "parts"), [(31, 2, 1), (32, 2, 2), (100, 1, 1), (40, 8, 2)])
def test_a_batch_is_not_cut_into_crumbs(number, workers, parts):
    seen = in_parts(lambda rows: rows.stop - rows.start, number, workers)
    assert (len(seen), sum(seen)) == (parts, number)


def test_workers_compute_on_one_thread_and_leave_ours_alone():
    before = torch.get_num_threads()
    assert in_parts(lambda _: torch.get_num_threads(), 64, 2) == [1, 1]
    assert torch.get_num_threads() == before


def test_an_error_in_a_part_is_an_error():
    def broken(rows: slice) -> None:
        raise ValueError(f"rows from {rows.start}")

    with pytest.raises(ValueError, match="rows from 0"):
        in_parts(broken, 64, 2)


@pytest.mark.parametrize("attack", [LinfPGD(epsilon=0.1, steps=3, random_start=True), L2PGD(epsilon=1, steps=3)])
def test_an_attack_in_parts_finds_the_same_images(network, images, labels, attack):
    whole = attack(network, images, labels, generator=torch.Generator().manual_seed(1))
    parts = attack(AcceleratedNetwork(network, PARTS), images, labels, generator=torch.Generator().manual_seed(1))
    # sums in another order can flip the sign of a gradient that is all but zero
    assert ((whole - parts).abs() > 1e-4).double().mean() < 0.01


def test_batch_statistics_keep_a_batch_whole(images, labels):
    model = AcceleratedNetwork(construct(NETWORKS["wideresnet"], seed=0).train(), PARTS)
    sizes: list[int] = []
    model.network.register_forward_hook(lambda module, args, output: sizes.append(len(args[0])))
    LinfPGD(epsilon=0.1, steps=1)(model, images, labels, generator=torch.Generator())
    assert sizes == [50]


@pytest.mark.parametrize("epsilon", [8 / 255, 0.3])
def test_the_ball_holds_in_low_precision_and_gradients_point_the_same_way(network, images, labels, epsilon):
    model = AcceleratedNetwork(network, LOW)
    attacked = LinfPGD(epsilon=epsilon, steps=5, random_start=True)(
        model, images, labels, generator=torch.Generator().manual_seed(1)
    )
    assert attacked.dtype == torch.float32
    assert (attacked - images).abs().max() <= epsilon + 1e-7
    assert 0 <= attacked.min() <= attacked.max() <= 1

    def gradient(of: nn.Module) -> Tensor:
        pixels = images.clone().requires_grad_()
        return torch.autograd.grad(F.cross_entropy(of(pixels), labels, reduction="sum"), pixels)[0].flatten(1)

    assert F.cosine_similarity(gradient(model), gradient(network)).mean() > 0.98


def test_logits_are_float32_and_layers_keep_their_names(network, images):
    model = AcceleratedNetwork(network, LOW)
    assert model(images).dtype == torch.float32
    assert torch.allclose(model(images), network(images), atol=0.05)
    assert unwrapped(model) is network
    assert named_layers(model) == named_layers(network)
    assert list(model.parameters()) == list(network.parameters())


def test_modes_are_those_of_the_network(network):
    assert not AcceleratedNetwork(network, PLAIN).training
    assert AcceleratedNetwork(network.train(), PLAIN).training


def test_health_is_watched_in_every_part(images, labels):
    class HalfBroken(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            scores = pixels.flatten(1)[:, :10]
            return torch.where(pixels.flatten(1)[:, 20:21] > 0.5, scores - 5, torch.ones_like(scores)).sqrt()

    broken = int((images.flatten(1)[:, 20] > 0.5).sum())
    model = AcceleratedNetwork(HalfBroken(), PARTS).eval()
    with pytest.warns(AttackWarning) as said:
        LinfPGD(epsilon=0.1, steps=2)(model, images, labels, generator=torch.Generator())
    told = " ".join(str(one.message) for one in said)
    assert f"{broken} of 50 images had NaN gradients" in told
    assert f"{50 - broken} of 50 images had all-zero gradients" in told


@pytest.mark.parametrize("choices", [PLAIN, PARTS, LOW])
def test_training_learns_in_every_way_and_leaves_a_plain_network(choices):
    images = torch.zeros(64, 1, 28, 28, dtype=torch.uint8)
    labels = torch.arange(64) % 2
    images[labels == 1, :, :14] = 255
    model = construct(lambda: LeNet5(classes=2), seed=0).to(memory_format=torch.channels_last)
    settings = TrainingConfig(epochs=10, batch_size=32, learning_rate=0.05)
    method = adversarial_training(LinfPGD(epsilon=0.1, steps=2, random_start=True))
    run = Trainer(model, method, images, labels, settings, seed=0, training="adversarial", choices=choices)
    losses = [run.train_epoch().loss for _ in range(10)]
    assert losses[-1] < 0.35 * losses[0]
    assert run.network is model
    assert all(weights.dtype == torch.float32 for weights in model.parameters())
    assert set(run.state_dict()["model"]) == set(model.state_dict())


def test_parts_give_the_same_bits_every_time(network, images, labels):
    attack = LinfPGD(epsilon=0.1, steps=3, random_start=True)
    model = AcceleratedNetwork(network, LOW)
    first, second = (attack(model, images, labels, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second)


class Clock:
    """Seconds that pass with each gradient, by the way it was computed."""

    def __init__(self, monkeypatch, seconds: dict[Choices, float], turned: frozenset[Choices] = frozenset()) -> None:
        self.now, self.seconds, self.turned = 0.0, seconds, turned
        monkeypatch.setattr(probing, "_gradient", self.gradient)
        monkeypatch.setattr(probing.time, "perf_counter", lambda: self.now)

    def gradient(self, network: nn.Module, images: Tensor, way: Choices) -> Tensor:
        self.now += self.seconds[way]
        return torch.ones(4) * (-1 if way in self.turned else 1)


@pytest.mark.parametrize(
    ("seconds", "turned", "expected"),
    [
        ({PLAIN: 1.0, PARTS: 0.6, LOW: 0.5}, frozenset(), LOW),
        ({PLAIN: 1.0, PARTS: 0.6, LOW: 0.5}, frozenset({LOW}), PARTS),
        ({PLAIN: 1.0, PARTS: 0.97, LOW: 2.0}, frozenset(), PLAIN),
    ],
)
def test_the_fastest_way_is_taken_if_it_is_clearly_faster_and_points_the_same_way(
    monkeypatch, images, seconds, turned, expected
):
    Clock(monkeypatch, seconds, turned)
    assert fastest_choices(LeNet5(), images, [PARTS, LOW]) == expected


def test_candidates_can_all_be_tried(network, images):
    candidates = usual_candidates(torch.device("cpu"))
    assert fastest_choices(network, images, candidates) in {PLAIN, *candidates}


def test_bfloat16_is_only_tried_where_the_processor_has_it(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert {way.precision for way in usual_candidates(torch.device("cpu"))} == {"32"}
