"""Layers are substituted where that was seen to be faster."""

import pytest
import torch
from torch import nn

from infoplane.acceleration import Choices, layers, with_substitutes
from infoplane.acceleration.layers import worthwhile_substitutes
from infoplane.models import LeNet5, WideResNet


class Clock:
    """A second for each layer that goes the usual way and `seconds` for a substitute."""

    def __init__(self, monkeypatch, seconds: dict[type, float]) -> None:
        self.now, self.way, self.seconds = 0.0, None, seconds
        monkeypatch.setattr(layers.time, "perf_counter", lambda: self.now)
        real = layers.Substitutes
        clock = self

        class Timed(real):
            def __init__(self, given):
                super().__init__(given)
                self.given = given

            def __enter__(self):
                clock.now += clock.seconds[type(self.given[0])] if self.given else 1.0
                return super().__enter__()

        monkeypatch.setattr(layers, "Substitutes", Timed)


def test_layers_that_gain_are_named(monkeypatch):
    Clock(monkeypatch, {nn.Conv2d: 0.95, nn.BatchNorm2d: 0.5})
    model = WideResNet(image_size=16).eval()
    expected = tuple(name for name, layer in model.named_modules() if isinstance(layer, nn.BatchNorm2d))
    assert len(expected) == 7
    assert worthwhile_substitutes(model, torch.rand(4, 3, 16, 16), "32") == expected


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_the_network_is_left_as_it_was(precision):
    model = LeNet5().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    worthwhile_substitutes(model, torch.rand(4, 1, 28, 28), precision)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(weights.requires_grad and weights.grad is None for weights in model.parameters())
    assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_every_way_is_tried_with_and_without(monkeypatch):
    monkeypatch.setattr(layers, "worthwhile_substitutes", lambda *given: {"32": (), "bf16": ("conv1",)}[given[2]])
    ways = [Choices(workers=2), Choices(precision="bf16"), Choices(precision="bf16", workers=2)]
    with_layers = [Choices(precision="bf16", workers=workers, substitutes=("conv1",)) for workers in (1, 2)]
    assert with_substitutes(LeNet5(), torch.rand(1, 1, 28, 28), ways) == ways + with_layers
