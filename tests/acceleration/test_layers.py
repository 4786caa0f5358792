"""Layers are substituted where that was seen to be faster."""

import pytest
import torch

from infoplane.acceleration import Choices, layers, with_substitutes
from infoplane.acceleration.layers import worthwhile_by_rows
from infoplane.models import LeNet5, WideResNet


class Clock:
    """A second for each layer that goes the usual way; by rows, as many as it has channels to give."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(layers.time, "perf_counter", lambda: self.now)
        clock = self

        class Timed(layers.Substitutes):
            def __init__(self, given=()):
                super().__init__(given)
                self.given = given

            def __enter__(self):
                clock.now += self.given[0].out_channels if self.given else 10.0
                return super().__enter__()

        monkeypatch.setattr(layers, "Substitutes", Timed)


def test_convolutions_that_gain_are_named(monkeypatch):
    Clock(monkeypatch)
    assert worthwhile_by_rows(LeNet5().eval(), torch.rand(4, 1, 28, 28), "32") == ("conv1",)  # 6 channels, not 16


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_the_network_is_left_as_it_was(precision):
    model = LeNet5().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    worthwhile_by_rows(model, torch.rand(4, 1, 28, 28), precision)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(weights.requires_grad and weights.grad is None for weights in model.parameters())
    assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_every_way_is_tried_with_and_without(monkeypatch):
    monkeypatch.setattr(layers, "worthwhile_by_rows", lambda *given: {"32": (), "bf16": ("conv1",)}[given[2]])
    ways = [Choices(), Choices(precision="bf16")]
    others = [Choices(precision="bf16", by_rows=("conv1",))]
    assert with_substitutes(LeNet5().eval(), torch.rand(2, 1, 28, 28), ways) == ways + others
    pair = ("group1.0.conv1", "group1.0.bn2")
    tried = with_substitutes(WideResNet(image_size=16, channels=1).eval(), torch.rand(2, 1, 16, 16), ways[:1])
    assert [pair in way.folded for way in tried] == [False, True]


def test_a_matrix_of_mostly_zeros_is_not_tried(monkeypatch):
    monkeypatch.setattr(layers, "_gains", lambda *given: True)
    images = torch.rand(2, 1, 28, 28)
    assert worthwhile_by_rows(LeNet5().eval(), images, "32") == ("conv1", "conv2")
    of_conv1, of_conv2 = 24 * 6 * 5 * 28, 8 * 16 * 5 * 12 * 6
    tried = {of_conv2: ("conv1", "conv2"), of_conv2 - 1: ("conv1",), of_conv1 - 1: ()}
    for most, expected in tried.items():
        monkeypatch.setattr("infoplane.acceleration.row_products.MOST_ENTRIES", most)
        assert worthwhile_by_rows(LeNet5().eval(), images, "32") == expected
