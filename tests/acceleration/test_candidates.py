"""Candidates name the convolutions that are faster row by row, and traced programs only where they are right."""

import pytest
import torch
import torch.nn.functional as F
from tests.acceleration.networks import four
from tests.models.small_networks import NAMES, images, narrow
from torch import nn

from infoplane.acceleration import PLAIN, AcceleratedNetwork, Choices, candidate_choices, candidates
from infoplane.acceleration.evaluation import for_attack
from infoplane.acceleration.inner import convolution_timing, rowwise_convolution
from infoplane.acceleration.inner.trace_check import traces_correctly
from infoplane.models import LeNet5, WideResNet, construct


class Clock:
    """Each pass takes a second, or less for some kinds of convolution."""

    def __init__(self, monkeypatch, **seconds: float) -> None:
        self.now, self.timed = 0.0, []
        monkeypatch.setattr(convolution_timing.time, "perf_counter", lambda: self.now)

        def pass_by(operations, features):
            self.timed.append((operations, features))
            self.now += seconds.get(type(operations[0]).__name__, 1.0)

        monkeypatch.setattr(convolution_timing, "_forward_and_backward", pass_by)


@pytest.fixture(autouse=True)
def float32_alone(monkeypatch):
    """As on a processor without instructions for bfloat16."""
    monkeypatch.setattr(candidate_choices, "_has_bfloat16", lambda device: False)


def traced_ways(network: nn.Module, images: torch.Tensor) -> list[Choices]:
    plain, *traced = candidates(network.eval(), images)
    assert plain == PLAIN
    return traced


def test_faster_convolutions_are_named(monkeypatch):
    Clock(monkeypatch, RowwiseConvolution=0.89)
    images = torch.rand(4, 1, 28, 28)
    assert traced_ways(LeNet5(), images) == [Choices(traced=True), Choices(traced=True, rowwise=("conv1", "conv2"))]
    Clock(monkeypatch, RowwiseConvolution=0.91, RowwisePooledConvolution=0.5)
    pooled = Choices(traced=True, rowwise_pooled=("conv1", "conv2"))
    assert traced_ways(LeNet5(), images) == [Choices(traced=True), pooled]


def test_both_precisions_are_candidates_plain_and_traced(monkeypatch):
    monkeypatch.setattr(candidate_choices, "_has_bfloat16", lambda device: True)
    clock = Clock(monkeypatch, RowwisePooledConvolution=0.5)
    images = torch.rand(4, 1, 28, 28)
    plain = [Choices(), Choices(precision="bf16")]
    traced = [Choices(traced=True), Choices(precision="bf16", traced=True)]
    pooled = [Choices(precision=way.precision, traced=True, rowwise_pooled=("conv1", "conv2")) for way in plain]
    assert candidates(LeNet5().eval(), images) == [*plain, *traced, *pooled]
    assert {features.dtype for _, features in clock.timed} == {torch.float32, torch.bfloat16}
    assert {len(operations) for operations, _ in clock.timed} == {1, 2}  # a convolution alone, and with its pooling


def test_bfloat16_is_a_candidate_where_it_is_asked_for(monkeypatch):
    Clock(monkeypatch)
    ways = candidates(LeNet5().eval(), torch.rand(4, 1, 28, 28), "bf16")
    assert ways == [Choices(precision="bf16"), Choices(precision="bf16", traced=True)]


def test_outputs_with_odd_sides_are_not_pooled(monkeypatch):
    Clock(monkeypatch, RowwisePooledConvolution=0.5)
    images = torch.rand(2, 1, 32, 32)  # conv1 gives 28 pixels, conv2 10
    assert traced_ways(LeNet5(image_size=32), images)[-1].rowwise_pooled == ("conv1", "conv2")
    images = torch.rand(2, 1, 30, 30)  # 26 and 9
    assert traced_ways(LeNet5(image_size=30), images)[-1].rowwise_pooled == ("conv1",)


def test_large_banded_matrices_are_not_timed(monkeypatch):
    Clock(monkeypatch, RowwiseConvolution=0.5)
    images = torch.rand(2, 1, 28, 28)
    of_conv1, of_conv2 = 24 * 6 * 5 * 28, 8 * 16 * 5 * 12 * 6
    expected = {of_conv2: ("conv1", "conv2"), of_conv2 - 1: ("conv1",), of_conv1 - 1: ()}
    for most, names in expected.items():
        monkeypatch.setattr(rowwise_convolution, "MOST_ENTRIES", most)
        assert traced_ways(LeNet5(), images)[-1].rowwise == names


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


MISTRACED = {
    "by value": lambda: four(lambda net, images: images.flatten(1) if images.sum() > 0 else -images.flatten(1)),
    "own gradient": lambda: four(lambda net, images: Reversed.apply(net.conv0(images)).flatten(1)),
    "own dropout": lambda: four(lambda net, images: net.again(net.conv0(images)).flatten(1), again=Again()),
    "no gradient": lambda: four(_scaled_without_gradient),
    "two names": lambda: four(_two_names, dropout=nn.Dropout()),
    "type": lambda: four(
        lambda net, images: net.conv0(images if isinstance(images, torch.Tensor) else images["pixels"]).flatten(1)
    ),
}


@pytest.mark.parametrize("name", MISTRACED)
def test_a_network_that_is_traced_wrongly_has_no_traced_candidates(name, generator):
    network = construct(MISTRACED[name], seed=0)
    assert traced_ways(network, torch.rand(2, 2, 8, 8, generator=generator)) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_network_of_the_list_is_traced_with_its_logits_and_gradients(name):
    assert traces_correctly(narrow(name), images())


@pytest.mark.parametrize(("name", "traced"), [("resnet18", True), ("vgg11", True), ("vit", False), ("mlp", False)])
def test_attacks_in_a_measurement_take_the_program_of_a_network_of_convolutions(name, traced):
    network, pixels = narrow(name).float(), images().float()
    found, given = for_attack(network, pixels, steps=250)
    assert isinstance(found, AcceleratedNetwork) == traced
    if traced:
        with found.frozen_weights():
            torch.testing.assert_close(found(given.requires_grad_()), network(pixels), rtol=1e-4, atol=1e-5)


def test_subclasses_of_known_layers_use_the_fallback(generator):
    network = construct(lambda: four(lambda net, images: net.thrice(net.conv0(images)), thrice=Thrice()), seed=0)
    assert traced_ways(network, torch.rand(2, 2, 8, 8, generator=generator))[0] == Choices(traced=True)


def test_unusual_calls_raise_no_error(generator):
    def forward(net, images):
        features = net.conv0(input=images)
        features = F.max_pool2d(features, features.size(2))
        ones = [net.conv1(one) for one in (features[0], features[1])]
        return torch.stack(ones).flatten(end_dim=0).flatten(1)

    network = construct(lambda: four(forward), seed=0)
    assert isinstance(traced_ways(network, torch.rand(2, 2, 8, 8, generator=generator)), list)


@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_the_network_is_left_as_it_was(precision):
    model = WideResNet(image_size=16, channels=1).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    candidates(model, torch.rand(4, 1, 16, 16), precision)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(weights.requires_grad and weights.grad is None for weights in model.parameters())
    assert not any(layer._forward_pre_hooks for layer in model.modules())


def test_bfloat16_is_a_candidate_only_where_the_processor_has_it(monkeypatch):
    monkeypatch.undo()
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    ways = candidates(LeNet5().eval(), torch.rand(2, 1, 28, 28))
    assert {way.precision for way in ways} == {"32"}
