"""Convolution and max-pooling in one, by rows, give what the two give, equal maxima included."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.acceleration.test_substitutes import passed
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork, Choices, weights_held_still, with_substitutes
from infoplane.acceleration.layers import worthwhile_pooled
from infoplane.acceleration.pooled_rows import poolable_convolutions
from infoplane.acceleration.substitutes import Substitutes
from infoplane.attacks import LinfPGD
from infoplane.models import LeNet5, WideResNet, construct

LAST = torch.channels_last


@settings(max_examples=80, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 7)),
    size=st.tuples(st.integers(5, 13), st.integers(5, 13)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    bias=st.booleans(),
    layout=st.sampled_from([torch.contiguous_format, LAST]),
    seed=st.integers(0, 99),
)
def test_whole_numbers_give_the_same_to_the_last_bit(channels, size, kernel, stride, padding, bias, layout, seed):
    """Whole numbers add up exactly in any order, and many maxima are equal."""
    source = torch.Generator().manual_seed(seed)
    layer = nn.Conv2d(*channels, kernel, stride, padding, bias=bias).to(memory_format=layout)
    with torch.no_grad():
        for weights in layer.parameters():
            weights.copy_(torch.randint(-2, 3, weights.shape, generator=source))
    layers = nn.Sequential(layer, nn.MaxPool2d(2))
    features = torch.randint(0, 3, (3, channels[0], *size), generator=source).float().contiguous(memory_format=layout)
    with torch.no_grad():
        height, width = layer(features).shape[2:]
    assume(height % 2 == width % 2 == 0)
    seen = torch.randint(-9, 10, (3, channels[1], height // 2, width // 2), generator=source).float()
    expected, usual, _ = passed(layers, features, seen, Substitutes())
    found, gradient, name = passed(layers, features, seen, Substitutes(pooled=[layer]))
    assert name == "PooledConvolutionByRowsBackward"
    assert torch.equal(found, expected)
    assert torch.equal(gradient, usual)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_types_are_kept(generator, dtype):
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2)).to(dtype)
    features = torch.randn(2, 2, 8, 8, generator=generator).to(dtype)
    seen = torch.ones(2, 3, 3, 3)
    expected, usual, _ = passed(layers, features, seen, Substitutes())
    found, gradient, _ = passed(layers, features, seen, Substitutes(pooled=[layers[0]]))
    assert found.dtype == gradient.dtype == dtype
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 0.05}[dtype]
    assert torch.allclose(found, expected, atol=tolerance)
    assert torch.allclose(gradient, usual, atol=tolerance)


@pytest.mark.parametrize(
    ("size", "pooling", "frozen"),
    [
        (9, nn.MaxPool2d(2), True),  # an odd map
        (8, nn.MaxPool2d(2), False),
    ],
)
def test_elsewhere_the_usual_way(generator, size, pooling, frozen):
    layers = nn.Sequential(nn.Conv2d(2, 3, 3), pooling).requires_grad_(not frozen)
    features = torch.randn(2, 2, size, size, generator=generator)
    with Substitutes(pooled=[layers[0]]) as way:
        found = layers(features)
    assert not way.astray
    assert torch.equal(found, layers(features))


class Branching(nn.Module):
    """Of its convolutions only the first two are seen by such a pooling alone."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(9):
            self.add_module(f"conv{number}", nn.Conv2d(1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        features = F.max_pool2d(self.conv0(images), 2)
        features = nn.MaxPool2d((2, 2), stride=2)(self.conv1(features))
        features = F.max_pool2d(self.conv2(features).relu(), 2)
        seen = self.conv3(features)
        parts = [F.max_pool2d(seen, 2), seen]
        parts.append(F.max_pool2d(self.conv4(features), 3, stride=2))
        parts.append(F.max_pool2d(self.conv5(features), 2, stride=1))
        parts.append(F.max_pool2d(self.conv6(features), 2, padding=1))
        parts.append(F.max_pool2d(self.conv7(features), 2, ceil_mode=True))
        parts.append(F.max_pool2d(self.conv8(self.conv8(features)), 2))
        return torch.cat([part.flatten(1) for part in parts], dim=1)


def test_convolutions_that_a_pooling_alone_sees_are_found():
    assert poolable_convolutions(Branching().eval(), torch.rand(2, 1, 32, 32)) == ("conv0", "conv1")
    lenet = LeNet5().eval()
    assert poolable_convolutions(lenet, torch.rand(2, 1, 28, 28)) == ("conv1", "conv2")
    assert not any(layer._forward_hooks for layer in lenet.modules())
    assert poolable_convolutions(WideResNet(image_size=16, channels=1).eval(), torch.rand(2, 1, 16, 16)) == ()


class Turning(nn.Module):
    """Pools, until it is told not to."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.pools = nn.Conv2d(1, 1, 1), True
        self.linear = nn.Linear(64, 3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv(images)
        if self.pools:
            return F.max_pool2d(features, 2).flatten(1)
        return self.linear(features.flatten(1))


def test_a_network_that_turns_another_way_is_computed_plainly(generator):
    network = Turning().eval()
    images = torch.rand(2, 1, 8, 8, generator=generator)
    model = AcceleratedNetwork(network, Choices(pooled=("conv",)))
    with weights_held_still(network):
        assert torch.allclose(model(images), network(images))
        network.pools = False
        assert torch.equal(model(images), network(images))
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            model(images[..., :7])


def test_an_attack_finds_all_but_the_same_images(generator):
    network = construct(LeNet5, seed=0).to(memory_format=LAST).eval()
    images, labels = torch.rand(40, 1, 28, 28, generator=generator), torch.arange(40) % 10

    def attacked(**choices) -> Tensor:
        model = AcceleratedNetwork(network, Choices(**choices))
        return LinfPGD(epsilon=0.1, steps=5)(model, images, labels, generator=generator)

    def apart(one: Tensor, other: Tensor) -> float:
        return (one - other).abs().gt(1e-6).float().mean().item()

    pooled = ("conv1", "conv2")
    expected = attacked()
    assert apart(attacked(pooled=pooled), expected) < 0.001
    low = apart(attacked(precision="bf16"), expected)  # bfloat16 itself turns some steps round
    assert 0.01 < apart(attacked(precision="bf16", pooled=pooled), expected) < low + 0.03
    assert all(weights.requires_grad for weights in network.parameters())


def test_it_is_tried_beside_the_others(monkeypatch, generator):
    from infoplane.acceleration import layers

    monkeypatch.setattr(layers, "worthwhile_by_rows", lambda *given: ("conv2",))
    monkeypatch.setattr(layers, "worthwhile_pooled", lambda *given: {"32": ("conv1",), "bf16": ()}[given[2]])
    images = torch.rand(2, 1, 28, 28, generator=generator)
    ways = [Choices(), Choices(precision="bf16")]
    rows = [Choices(by_rows=("conv2",)), Choices(precision="bf16", by_rows=("conv2",))]
    tried = with_substitutes(LeNet5().eval(), images, ways)
    assert tried == [*ways, *rows, Choices(by_rows=("conv2",), pooled=("conv1",))]


def test_gains_are_those_of_both_layers_together(monkeypatch, generator):
    from infoplane.acceleration import layers

    given = []
    monkeypatch.setattr(layers, "_gains", lambda *arguments: bool(given.append(arguments)) or len(given) == 2)
    images = torch.rand(4, 1, 28, 28, generator=generator)
    assert worthwhile_pooled(LeNet5().eval(), images, "32") == ("conv2",)
    timed, way, features, _ = given[0]
    with way:
        assert timed(features).shape == (4, 6, 12, 12)
