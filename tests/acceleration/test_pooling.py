"""Max-pooling by rows gives the maxima of the library, and its gradients where no two values are equal."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork, Choices, with_substitutes
from infoplane.acceleration.pooling import FEW_CHANNELS
from infoplane.acceleration.substitutes import Substitutes
from infoplane.models import LeNet5, WideResNet, construct

LAST = torch.channels_last


def pooled_and_gradient(features: Tensor, seen: Tensor, way: Substitutes) -> tuple[Tensor, Tensor, str]:
    leaf = features.clone().requires_grad_()
    with way:
        output = F.max_pool2d(leaf, 2)
    (gradient,) = torch.autograd.grad(output, leaf, seen)
    return output, gradient, type(output.grad_fn).__name__


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 4),
    channels=st.integers(1, FEW_CHANNELS - 1),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 100),
)
def test_maxima_and_gradients_are_those_of_the_library(images, channels, size, dtype, seed):
    source = torch.Generator().manual_seed(seed)
    windows = torch.rand(images, channels, *size, 4, generator=source).argsort(dim=-1)  # four different values
    windows += 4 * torch.randint(-60, 60, (images, channels, *size, 1), generator=source)  # exact in bfloat16
    features = windows.unflatten(-1, (2, 2)).transpose(3, 4).flatten(4, 5).flatten(2, 3)
    features = features.to(dtype).contiguous(memory_format=LAST)
    seen = torch.randn(images, channels, *size, generator=source).to(dtype)
    expected, usual, _ = pooled_and_gradient(features, seen, Substitutes())
    found, gradient, name = pooled_and_gradient(features, seen, Substitutes(pools=True))
    assert name == "PooledByRowsBackward"
    assert torch.equal(found, expected)
    assert found.dtype == gradient.dtype == dtype
    assert torch.equal(gradient, usual)
    assert found.is_contiguous(memory_format=LAST)
    assert gradient.is_contiguous(memory_format=LAST)


def test_of_equal_maxima_one_gets_the_gradient():
    features = torch.zeros(2, 3, 4, 6).contiguous(memory_format=LAST)
    _, gradient, _ = pooled_and_gradient(features, torch.ones(2, 3, 2, 3), Substitutes(pools=True))
    windows = gradient.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    assert torch.equal(windows.sort(dim=-1).values, torch.tensor([0.0, 0, 0, 1]).expand_as(windows))


def test_not_a_number_stays_one():
    features = torch.zeros(1, 1, 2, 4)
    features[0, 0, 1, 2] = float("nan")
    found, _, _ = pooled_and_gradient(features, torch.ones(1, 1, 1, 2), Substitutes(pools=True))
    assert found.isnan().tolist() == [[[[False, True]]]]


@pytest.mark.parametrize(
    ("shape", "layout", "arguments"),
    [
        ((2, FEW_CHANNELS, 4, 4), LAST, {"kernel_size": 2}),
        ((2, 3, 4, 4), torch.contiguous_format, {"kernel_size": 2}),
        ((2, 3, 5, 4), LAST, {"kernel_size": 2}),
        ((2, 3, 4, 5), LAST, {"kernel_size": 2}),
        ((2, 3, 4, 4), LAST, {"kernel_size": 3}),
        ((2, 3, 4, 4), LAST, {"kernel_size": (2, 1)}),
        ((2, 3, 4, 4), LAST, {"kernel_size": 2, "stride": 1}),
        ((2, 3, 4, 4), LAST, {"kernel_size": 2, "padding": 1}),
        ((2, 3, 4, 4), LAST, {"kernel_size": 2, "dilation": 2}),
        ((2, 3, 4, 4), LAST, {"kernel_size": 2, "ceil_mode": True}),
    ],
)
def test_other_pooling_goes_the_usual_way(generator, shape, layout, arguments):
    features = torch.randn(shape, generator=generator).contiguous(memory_format=layout)
    layers = Substitutes(pools=True)
    with layers:
        found = F.max_pool2d(features, **arguments)
    assert layers.pooled == 0
    assert torch.equal(found, F.max_pool2d(features, **arguments))


@pytest.mark.parametrize(
    "call", [nn.MaxPool2d(2), nn.MaxPool2d((2, 2), stride=2), lambda x: F.max_pool2d(input=x, kernel_size=2)]
)
def test_pooling_is_known_however_it_is_called(generator, call):
    features = torch.randn(2, 3, 4, 4, generator=generator).contiguous(memory_format=LAST)
    layers = Substitutes(pools=True)
    with layers:
        found = call(features)
    assert torch.equal(found, F.max_pool2d(features, 2))
    assert layers.pooled == 1


@pytest.mark.parametrize("training", [True, False])
def test_a_network_learns_the_same(training, generator):
    network = construct(lambda: LeNet5(), seed=0).double().to(memory_format=LAST).train(training)
    images = torch.rand(5, 1, 28, 28, generator=generator, dtype=torch.float64).requires_grad_()
    gradients = []
    for model in (network, AcceleratedNetwork(network, Choices(pools=True))):
        wanted = [images, *network.parameters()]
        gradients.append(torch.autograd.grad(model(images).square().sum(), wanted))
    assert all(torch.allclose(one, other, rtol=1e-12, atol=1e-14) for one, other in zip(*gradients, strict=True))


def test_it_is_tried_where_there_is_such_pooling(generator):
    lenet = construct(LeNet5, seed=0).to(memory_format=LAST).eval()
    images = torch.rand(2, 1, 28, 28, generator=generator)
    tried = with_substitutes(lenet, images, [Choices()])
    assert {way.pools for way in tried} == {False, True}
    assert len(tried) == len({(way.by_rows, way.pools) for way in tried})
    wide = construct(lambda: WideResNet(image_size=28, channels=1), seed=0).to(memory_format=LAST).eval()
    assert not any(way.pools for way in with_substitutes(wide, images, [Choices()]))
