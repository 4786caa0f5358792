"""Convolutions go another way where that was seen to be faster."""

import pytest
import torch
import torch.nn.functional as F
from tests.acceleration.networks import four
from torch import nn

from infoplane.acceleration import Choices, layers, with_frozen
from infoplane.models import LeNet5, WideResNet, construct


class Clock:
    """A second for each way there and back, in which some kinds take less."""

    def __init__(self, monkeypatch, **seconds: float) -> None:
        self.now, self.timed = 0.0, []
        monkeypatch.setattr(layers.time, "perf_counter", lambda: self.now)

        def pass_by(operations, features):
            self.timed.append((operations, features))
            self.now += seconds.get(type(operations[0]).__name__, 1.0)

        monkeypatch.setattr(layers, "_there_and_back", pass_by)


def tried(network: nn.Module, images: torch.Tensor, *ways: Choices) -> list[Choices]:
    return with_frozen(network.eval(), images, ways or [Choices()])[len(ways or [0]) :]


def test_convolutions_that_gain_are_named(monkeypatch):
    Clock(monkeypatch, ConvolutionByRows=0.89, ConvolutionByGroups=0.5)
    images = torch.rand(4, 1, 28, 28)
    assert tried(LeNet5(), images) == [
        Choices(frozen=True),
        Choices(frozen=True, by_rows=("conv1", "conv2"), by_groups=("conv1", "conv2")),
    ]
    Clock(monkeypatch, ConvolutionByRows=0.91, PooledConvolutionByRows=0.5)
    assert tried(LeNet5(), images) == [Choices(frozen=True), Choices(frozen=True, pooled=("conv1", "conv2"))]


def test_every_way_is_tried_with_and_without(monkeypatch):
    clock = Clock(monkeypatch, PooledConvolutionByRows=0.5)
    ways = [Choices(), Choices(precision="bf16")]
    images = torch.rand(4, 1, 28, 28)
    found = with_frozen(LeNet5().eval(), images, ways)
    frozen = [Choices(frozen=True), Choices(precision="bf16", frozen=True)]
    pooled = [Choices(precision=way.precision, frozen=True, pooled=("conv1", "conv2")) for way in ways]
    assert found == [*ways, *frozen, *pooled]
    assert {features.dtype for _, features in clock.timed} == {torch.float32, torch.bfloat16}
    assert {len(operations) for operations, _ in clock.timed} == {1, 2}  # against the convolution and its pooling


def test_odd_maps_are_not_pooled(monkeypatch):
    Clock(monkeypatch, PooledConvolutionByRows=0.5)
    images = torch.rand(2, 1, 32, 32)  # of conv1 28, of conv2 10
    assert tried(LeNet5(image_size=32), images)[-1].pooled == ("conv1", "conv2")
    images = torch.rand(2, 1, 30, 30)  # 26 and 9
    assert tried(LeNet5(image_size=30), images)[-1].pooled == ("conv1",)


def test_a_matrix_of_mostly_zeros_is_not_tried(monkeypatch):
    Clock(monkeypatch, ConvolutionByRows=0.5)
    images = torch.rand(2, 1, 28, 28)
    of_conv1, of_conv2 = 24 * 6 * 5 * 28, 8 * 16 * 5 * 12 * 6
    expected = {of_conv2: ("conv1", "conv2"), of_conv2 - 1: ("conv1",), of_conv1 - 1: ()}
    for most, names in expected.items():
        monkeypatch.setattr("infoplane.acceleration.row_products.MOST_ENTRIES", most)
        assert tried(LeNet5(), images)[-1].by_rows == names


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(_, features):
        return features.clone()

    @staticmethod
    def backward(_, gradient):
        return -gradient


class Again(nn.Dropout):
    def forward(self, features):
        return F.dropout(features, 0.5, training=True)


class Thrice(nn.Flatten):
    def forward(self, features):
        return 3 * super().forward(features)


def _scaled_without_gradient(net, images):
    features = net.conv0(images)
    with torch.no_grad():
        scale = features.abs().mean((1, 2, 3), keepdim=True)
    return net.linear((features * scale).tanh().mean((2, 3)))


def _two_names(net, images):
    features = net.conv0(images)
    other = net.dropout(features)
    other += 1
    return (net.conv1(other) + features).flatten(1)


MISREAD = {
    "by value": lambda: four(lambda net, images: images.flatten(1) if images.sum() > 0 else -images.flatten(1)),
    "own gradient": lambda: four(lambda net, images: Reversed.apply(net.conv0(images)).flatten(1)),
    "own dropout": lambda: four(lambda net, images: net.again(net.conv0(images)).flatten(1), again=Again()),
    "no gradient": lambda: four(_scaled_without_gradient),
    "two names": lambda: four(_two_names, dropout=nn.Dropout()),
    "type": lambda: four(
        lambda net, images: net.conv0(images if isinstance(images, torch.Tensor) else images["pixels"]).flatten(1)
    ),
}


@pytest.mark.parametrize("name", MISREAD)
def test_a_network_that_is_not_read_right_keeps_the_usual_ways(name, generator):
    network = construct(MISREAD[name], seed=0)
    assert tried(network, torch.rand(2, 2, 8, 8, generator=generator)) == []


def test_relatives_of_known_layers_are_called(generator):
    network = construct(lambda: four(lambda net, images: net.thrice(net.conv0(images)), thrice=Thrice()), seed=0)
    assert tried(network, torch.rand(2, 2, 8, 8, generator=generator))[0] == Choices(frozen=True)


def test_shapes_and_convolutions_called_otherwise(generator):
    def forward(net, images):
        features = net.conv0(input=images)
        features = F.max_pool2d(features, features.size(2))
        ones = [net.conv1(one) for one in (features[0], features[1])]
        return torch.stack(ones).flatten(end_dim=0).flatten(1)

    network = construct(lambda: four(forward), seed=0)
    tried(network, torch.rand(2, 2, 8, 8, generator=generator))  # without an error


@pytest.mark.parametrize("precision", ["32", "bf16"])
def test_the_network_is_left_as_it_was(precision):
    model = WideResNet(image_size=16, channels=1).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with_frozen(model, torch.rand(4, 1, 16, 16), [Choices(precision=precision)])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(weights.requires_grad and weights.grad is None for weights in model.parameters())
    assert not any(layer._forward_pre_hooks for layer in model.modules())
