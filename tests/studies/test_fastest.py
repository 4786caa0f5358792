"""The fastest way of computing is chosen, if it is clearly faster and its gradients agree."""

import pytest
import torch
from torch import Tensor, nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, candidates
from infoplane.models import LeNet5, WideResNet, construct
from infoplane.studies.flow import fastest as timing
from infoplane.studies.flow.fastest import fastest

NETWORKS = {"lenet": LeNet5, "wideresnet": lambda: WideResNet(image_size=28, channels=1)}
ROWS = Choices(rowwise=("conv1",))
LOW = Choices(precision="bf16")


@pytest.fixture
def images(generator) -> Tensor:
    return torch.rand(50, 1, 28, 28, generator=generator)


def way_of(model: nn.Module) -> Choices:
    return model.choices if isinstance(model, AcceleratedNetwork) else PLAIN


class Clock:
    """Seconds that pass with each gradient, by the way it is computed."""

    def __init__(self, monkeypatch, seconds: dict[Choices, float], turned: frozenset[Choices] = frozenset()) -> None:
        self.now, self.seconds, self.turned = 0.0, seconds, turned
        monkeypatch.setattr(timing, "_gradient", self.gradient)
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)

    def gradient(self, model: nn.Module, images: Tensor) -> Tensor:
        self.now += self.seconds[way_of(model)]
        return torch.ones(4) * (-1 if way_of(model) in self.turned else 1)


@pytest.mark.parametrize(
    ("seconds", "turned", "expected"),
    [
        ({PLAIN: 1.0, ROWS: 0.6, LOW: 0.5}, frozenset(), LOW),
        ({PLAIN: 1.0, ROWS: 0.6, LOW: 0.5}, frozenset({LOW}), ROWS),
        ({PLAIN: 1.0, ROWS: 0.97, LOW: 2.0}, frozenset(), PLAIN),
    ],
)
def test_the_fastest_way_is_taken_if_it_is_clearly_faster_and_its_gradients_agree(
    monkeypatch, images, seconds, turned, expected
):
    Clock(monkeypatch, seconds, turned)
    assert fastest(LeNet5(), images, [PLAIN, ROWS, LOW]) == expected


def test_the_first_way_is_kept_where_it_is_not_plain(monkeypatch, images):
    Clock(monkeypatch, {PLAIN: 0.1, LOW: 1.0, ROWS: 0.97})
    assert fastest(LeNet5(), images, [LOW, ROWS]) == LOW


@pytest.mark.parametrize("name", NETWORKS)
def test_all_candidates_can_be_timed(name, images):
    network = construct(NETWORKS[name], seed=0).to(memory_format=torch.channels_last).eval()
    ways = candidates(network, images)
    assert fastest(network, images, ways) in ways
