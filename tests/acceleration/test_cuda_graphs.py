"""CUDA graphs are replayed in attacks only, and attacks give the same images although replays share memory."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, candidates
from infoplane.acceleration.inner import cuda_graphs
from infoplane.attacks import LinfPGD
from infoplane.config import TrainingConfig
from infoplane.models import LeNet5, WideResNet, construct
from infoplane.studies.flow.fastest import fastest
from infoplane.training import Trainer, adversarial_training

GRAPHS = Choices(cuda_graphs=True)
PGD = LinfPGD(epsilon=0.1, steps=5, random_start=True)


class Replayed(torch.autograd.Function):
    """Stand-in for torch.cuda.make_graphed_callables without a GPU: each replay writes to the same memory."""

    @staticmethod
    def forward(ctx, images, recording):
        with torch.enable_grad():
            recording.images.data.copy_(images)
            recording.logits = recording.passed(recording.images)
        recording.output = recording.output if recording.output is not None else torch.empty_like(recording.logits)
        recording.output.data.copy_(recording.logits)
        recording.replays += 1
        ctx.recording = recording
        return recording.output.detach()

    @staticmethod
    def backward(ctx, gradient):
        recording = ctx.recording
        (result,) = torch.autograd.grad(recording.logits, recording.images, gradient)
        recording.gradient = recording.gradient if recording.gradient is not None else torch.empty_like(result)
        recording.gradient.copy_(result)
        return recording.gradient.detach(), None


class Recording:
    def __init__(self, passed, images):
        assert images.requires_grad
        assert images.is_leaf
        self.passed, self.images = passed, images
        self.logits = self.output = self.gradient = None
        self.replays = 0

    def __call__(self, images):
        return Replayed.apply(images, self)


@pytest.fixture
def recordings(monkeypatch) -> list[Recording]:
    made: list[Recording] = []

    def record(passed, images):
        made.append(Recording(passed, images))
        return made[-1]

    monkeypatch.setattr(cuda_graphs, "record", record)
    return made


@pytest.fixture(params=[LeNet5, lambda: WideResNet(image_size=28, channels=1)], ids=["lenet", "wideresnet"])
def network(request) -> nn.Module:
    return construct(request.param, seed=0).eval()


def attacked(model: nn.Module, images: Tensor) -> Tensor:
    labels = torch.arange(len(images), device=images.device) % 10
    return PGD(model, images, labels, generator=torch.Generator(images.device).manual_seed(1))


@pytest.fixture
def images(generator) -> Tensor:
    return torch.rand(12, 1, 28, 28, generator=generator)


def test_an_attack_replays_one_recording_and_finds_the_same(recordings, network, images):
    model = AcceleratedNetwork(network, GRAPHS)
    for _ in range(2):
        assert torch.equal(attacked(model, images), attacked(network, images))
    assert [one.replays for one in recordings] == [2 * PGD.steps]


def test_each_shape_has_its_recording_and_too_many_have_none(recordings, network, images):
    model = AcceleratedNetwork(network, GRAPHS)
    for size in [*range(1, cuda_graphs.MOST_SHAPES + 3), 1]:
        assert torch.equal(attacked(model, images[:size]), attacked(network, images[:size]))
    assert [len(one.images) for one in recordings] == list(range(1, cuda_graphs.MOST_SHAPES + 1))
    assert recordings[0].replays == 2 * PGD.steps


def test_updates_in_place_are_seen_and_moved_weights_are_recorded_anew(recordings, network, images):
    model = AcceleratedNetwork(network, GRAPHS)
    attacked(model, images)
    with torch.no_grad():
        next(network.parameters()).mul_(0.5)
    attacked(model, images)
    assert len(recordings) == 1
    weights = next(network.parameters())
    weights.data = weights.data.clone()
    attacked(model, images)
    assert len(recordings) == 2


@pytest.mark.parametrize("change", ["training", "one layer", "weights", "no gradient"])
def test_other_passes_are_not_replayed(recordings, network, images, change):
    model = AcceleratedNetwork(network, GRAPHS)
    if change == "training":
        network.train()
    elif change == "one layer":
        list(network.modules())[-1].train()
    network.requires_grad_(change == "weights")
    model(images.clone().requires_grad_(change != "no gradient"))
    assert not recordings


def train(choices: Choices, device: str = "cpu") -> tuple[dict[str, Tensor], float]:
    images = torch.zeros(70, 1, 28, 28, dtype=torch.uint8)
    labels = torch.arange(70) % 2
    images[labels == 1, :, :14] = 255
    model = construct(lambda: LeNet5(classes=2), seed=0).to(device)
    settings = TrainingConfig(epochs=3, batch_size=32, learning_rate=0.05)
    on_device = images.to(device), labels.to(device)
    run = Trainer(
        model, adversarial_training(PGD), *on_device, settings, seed=0, training="adversarial", choices=choices
    )
    losses = [run.train_epoch().loss for _ in range(3)]
    return copy.deepcopy(dict(model.state_dict())), losses[-1]


def test_training_is_the_same(recordings):
    plain, loss = train(PLAIN)
    replayed, other_loss = train(GRAPHS)
    assert loss == other_loss
    assert all(torch.equal(plain[key], value) for key, value in replayed.items())
    assert [len(one.images) for one in recordings] == [32, 6]


def test_a_network_that_cannot_be_recorded_is_not_chosen(monkeypatch, network, images):
    def refuse(passed, images):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(cuda_graphs, "record", refuse)
    assert fastest(network, images, [PLAIN, GRAPHS]) == PLAIN


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_cuda_graphs_are_candidates_on_a_gpu_only(monkeypatch, network, images, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    on_gpu = candidates(network, SimpleNamespace(is_cuda=True, device=torch.device("cuda")), precision)
    ways = [Choices(), GRAPHS] * (precision == "auto")
    assert on_gpu == [*ways, Choices(precision="bf16"), Choices(precision="bf16", cuda_graphs=True)]
    assert not any(way.cuda_graphs for way in candidates(network, images, precision))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_replays_find_the_same(network, images):
    network, images = network.cuda(), images.cuda()
    found = attacked(AcceleratedNetwork(network, GRAPHS), images)
    assert (found - attacked(network, images)).abs().mean() < 1e-4  # atomic additions may flip the sign of a tiny slope
    plain, replayed = train(PLAIN, "cuda"), train(GRAPHS, "cuda")
    assert replayed[1] == pytest.approx(plain[1], rel=1e-2)
