"""An accelerated network computes what the plain one does, and attacks on it keep their promises."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, fastest_choices, usual_candidates
from infoplane.acceleration import probe as probing
from infoplane.attacks import LinfPGD
from infoplane.config import TrainingConfig
from infoplane.models import LeNet5, WideResNet, construct
from infoplane.training import Trainer, adversarial_training
from infoplane.wrappers import named_layers, unwrapped

NETWORKS = {"lenet": LeNet5, "wideresnet": lambda: WideResNet(image_size=28, channels=1)}
ROWS = Choices(by_rows=("conv1",))
LOW = Choices(precision="bf16")


@pytest.fixture
def images(generator) -> Tensor:
    return torch.rand(50, 1, 28, 28, generator=generator)


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(50) % 10


@pytest.fixture(params=NETWORKS)
def network(request) -> nn.Module:
    return construct(NETWORKS[request.param], seed=0).to(memory_format=torch.channels_last).eval()


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


@pytest.mark.parametrize("choices", [PLAIN, ROWS, LOW])
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


def test_an_accelerated_attack_gives_the_same_bits_every_time(network, images, labels):
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

    def gradient(self, model: AcceleratedNetwork, images: Tensor) -> Tensor:
        self.now += self.seconds[model.choices]
        return torch.ones(4) * (-1 if model.choices in self.turned else 1)


@pytest.mark.parametrize(
    ("seconds", "turned", "expected"),
    [
        ({PLAIN: 1.0, ROWS: 0.6, LOW: 0.5}, frozenset(), LOW),
        ({PLAIN: 1.0, ROWS: 0.6, LOW: 0.5}, frozenset({LOW}), ROWS),
        ({PLAIN: 1.0, ROWS: 0.97, LOW: 2.0}, frozenset(), PLAIN),
    ],
)
def test_the_fastest_way_is_taken_if_it_is_clearly_faster_and_points_the_same_way(
    monkeypatch, images, seconds, turned, expected
):
    Clock(monkeypatch, seconds, turned)
    assert fastest_choices(LeNet5(), images, [ROWS, LOW]) == expected


def test_candidates_can_all_be_tried(network, images):
    candidates = usual_candidates(torch.device("cpu"))
    assert fastest_choices(network, images, candidates) in {PLAIN, *candidates}


def test_bfloat16_is_only_tried_where_the_processor_has_it(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    assert {way.precision for way in usual_candidates(torch.device("cpu"))} == {"32"}
