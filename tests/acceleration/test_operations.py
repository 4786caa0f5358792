"""Every operation gives the output and the gradient of the torch layer that it computes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from infoplane.acceleration.inner.batch_norm import BatchNorm
from infoplane.acceleration.inner.convolution import Convolution
from infoplane.acceleration.inner.elementwise import Activation, Flattening, PixelNormalisation
from infoplane.acceleration.inner.linear import Linear
from infoplane.acceleration.inner.max_pooling import MaxPooling
from infoplane.acceleration.inner.operation import Operation
from infoplane.acceleration.inner.rowwise_convolution import RowwiseConvolution, banded, can_be_rowwise
from infoplane.acceleration.inner.rowwise_pooling import RowwisePooledConvolution
from infoplane.models.normalisation import Normalise

LAST = torch.channels_last
LAYOUTS = [torch.contiguous_format, LAST]


def passed(operation: Operation, features: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output and its gradient to the features; neither argument is written over."""
    with torch.no_grad():
        output, saved = operation.forward(features.clone())
        result = output.clone()
        return result, operation.backward(saved, seen.clone().to(output.dtype))[0]


def usual(layer, features: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """The same by autograd."""
    pixels = features.clone().requires_grad_()
    output = layer(pixels)
    return output.detach(), torch.autograd.grad(output, pixels, seen.to(output.dtype))[0]


def agrees(operation: Operation, layer, features: Tensor, *, tolerance: float = 1e-12) -> bool:
    with torch.no_grad():
        seen = torch.randn(layer(features).shape, generator=torch.Generator().manual_seed(5)).to(features.dtype)
    pairs = [*zip(passed(operation, features, seen), usual(layer, features, seen), strict=True)]
    assert [found.dtype for found, _ in pairs] == [expected.dtype for _, expected in pairs]
    return all(torch.allclose(found, expected, rtol=tolerance, atol=tolerance) for found, expected in pairs)


def with_statistics(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    source = torch.Generator().manual_seed(3)
    for tensor in norm.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape, generator=source) + 0.3)
    if norm.weight is not None:
        with torch.no_grad():
            norm.weight[::2] *= -1  # scales have either sign
    return norm.eval()


@st.composite
def convolutions(draw) -> tuple[nn.Conv2d, Tensor]:
    channels = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    kernel = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    layout = draw(st.sampled_from(LAYOUTS))
    layer = nn.Conv2d(*channels, kernel, stride, padding, bias=draw(st.booleans())).double().to(memory_format=layout)
    size = draw(st.integers(5, 13)), draw(st.integers(5, 13))
    return layer, torch.randn(3, channels[0], *size, dtype=torch.float64).contiguous(memory_format=layout)


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.sampled_from([Convolution, RowwiseConvolution]))
def test_convolutions_of_all_shapes(given, kind):
    layer, features = given
    assert agrees(kind(layer, None), layer, features)


@settings(max_examples=80, deadline=None)
@given(
    channels=st.tuples(st.integers(1, 3), st.integers(1, 7)),
    windows=st.tuples(st.integers(3, 6), st.integers(3, 6)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    beyond=st.integers(0, 1),
    bias=st.booleans(),
    layout=st.sampled_from(LAYOUTS),
    seed=st.integers(0, 99),
)
def test_pooled_convolutions_to_the_last_bit(channels, windows, kernel, stride, padding, beyond, bias, layout, seed):
    """Sums of whole numbers are exact in any order, and many maxima are equal."""
    source = torch.Generator().manual_seed(seed)
    layer = nn.Conv2d(*channels, kernel, stride, padding, bias=bias).to(memory_format=layout)
    with torch.no_grad():
        for weights in layer.parameters():
            weights.copy_(torch.randint(-2, 3, weights.shape, generator=source))
    layers = nn.Sequential(layer, nn.MaxPool2d(2))
    size = [
        (2 * half - 1) * step + reach - 2 * around + min(beyond, step - 1)
        for half, step, reach, around in zip(windows, stride, kernel, padding, strict=True)
    ]
    features = torch.randint(0, 3, (3, channels[0], *size), generator=source).float().contiguous(memory_format=layout)
    seen = torch.randint(-9, 10, (3, channels[1], *windows), generator=source).float()
    found = passed(RowwisePooledConvolution(layer, None), features, seen)
    assert all(map(torch.equal, found, usual(layers, features, seen)))


def test_an_output_with_odd_sides_is_refused():
    with pytest.raises(RuntimeError, match="odd sides"):
        RowwisePooledConvolution(nn.Conv2d(2, 3, 3), None).forward(torch.rand(2, 2, 9, 8))


KINDS = [Convolution, RowwiseConvolution]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_before_a_convolution_and_one_folded_into_it(kind, affine, stride, generator):
    inner = nn.Conv2d(3, 4, 3, stride, padding=1)
    before, after = (with_statistics(nn.BatchNorm2d(channels, affine=affine).double()) for channels in (3, 4))
    layers = nn.Sequential(before, nn.LeakyReLU(0.1), inner.double(), after)
    features = torch.randn(2, 3, 6, 8, generator=generator, dtype=torch.float64)
    normalising, activating, convolving = BatchNorm(before), Activation(0.1), kind(inner, None, after)
    expected, gradient = usual(layers, features, torch.ones(2, 4, 6 // stride, 8 // stride))
    with torch.no_grad():
        values, tape = features, []
        for operation in (normalising, activating, convolving):
            values, saved = operation.forward(values)
            tape.append(saved)
        found = torch.ones_like(values)
        for operation, saved in zip((convolving, activating, normalising), reversed(tape), strict=True):
            (found,) = operation.backward(saved, found)
    assert torch.allclose(values, expected, rtol=1e-12, atol=1e-12)
    assert torch.allclose(found, gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_alone(layout, affine, generator):
    norm = with_statistics(nn.BatchNorm2d(3, affine=affine).double())
    features = torch.randn(4, 3, 5, 6, generator=generator, dtype=torch.float64).contiguous(memory_format=layout)
    assert agrees(BatchNorm(norm), norm, features)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("operation", "layer"),
    [
        (Activation(), nn.ReLU()),
        (Activation(0.2), nn.LeakyReLU(0.2)),
        (MaxPooling(2), nn.MaxPool2d(2)),
        (MaxPooling(3, 2, 1), nn.MaxPool2d(3, 2, 1)),
        (MaxPooling((2, 3), ceil_mode=True), nn.MaxPool2d((2, 3), ceil_mode=True)),
        (Flattening(), nn.Flatten()),
        (PixelNormalisation(Normalise(3, 8, 0.2, [0.5, 1.0, 2.0])), Normalise(3, 8, 0.2, [0.5, 1.0, 2.0])),
        (PixelNormalisation(Normalise(3, 8, 0.0, 1.0)), Normalise(3, 8, 0.0, 1.0)),
    ],
    ids=lambda given: str(given) if isinstance(given, nn.Module) else "",
)
def test_layers_without_weights(operation, layer, layout, generator):
    features = torch.randn(4, 3, 8, 8, generator=generator, dtype=torch.float64).contiguous(memory_format=layout)
    assert agrees(operation, layer.double(), features)


@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers(bias, generator):
    layer = nn.Linear(5, 3, bias=bias).double()
    assert agrees(Linear(layer, None), layer, torch.randn(4, 5, generator=generator, dtype=torch.float64))
    assert agrees(Linear(layer, None), layer, torch.randn(4, 2, 5, generator=generator, dtype=torch.float64))


@pytest.mark.parametrize("kind", [*KINDS, RowwisePooledConvolution])
def test_lower_precision_is_used_inside_the_operation_only(kind, generator):
    """Small whole numbers are exact in bfloat16; what is smaller than its last bit is lost."""
    layer = nn.Conv2d(3, 4, 3).to(memory_format=LAST)
    with torch.no_grad():
        for weights in layer.parameters():
            weights.copy_(torch.randint(-2, 3, weights.shape, generator=generator))
    layers = nn.Sequential(layer, nn.MaxPool2d(2)) if kind is RowwisePooledConvolution else layer
    features = torch.randint(1, 3, (2, 3, 8, 8), generator=generator).float()
    seen = torch.ones(2, 4, *((3, 3) if kind is RowwisePooledConvolution else (6, 6)))
    operation = kind(layer, torch.bfloat16)
    found, gradient = passed(operation, features, seen)
    expected, wanted = usual(layers, features, seen)
    assert (found.dtype, gradient.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(found.float(), expected)
    assert torch.equal(gradient, wanted)
    assert torch.equal(passed(operation, features + 2.0**-10, seen)[0], found)


def test_weights_are_prepared_once_until_the_cache_is_cleared(generator):
    layer = nn.Conv2d(3, 4, 3, padding=1)
    features, seen = torch.randn(2, 3, 6, 6, generator=generator), torch.ones(2, 4, 6, 6)
    for kind in KINDS:
        operation = kind(layer, torch.bfloat16)
        before = passed(operation, features, seen)
        with torch.no_grad():
            layer.weight.mul_(-2)
        assert all(map(torch.equal, passed(operation, features, seen), before))
        operation.clear_cache()
        fresh = passed(kind(layer, torch.bfloat16), features, seen)
        after = passed(operation, features, seen)
        assert all(map(torch.equal, after, fresh))
        assert not torch.equal(after[1], before[1])


def test_the_banded_matrix_of_a_known_kernel():
    weight = torch.tensor([[[[1.0, 2.0]]]])
    assert banded(weight, nn.Conv2d(1, 1, (1, 2)), 3, 2)[..., 0, 0].tolist() == [[1, 2, 0], [0, 1, 2]]
    strided = nn.Conv2d(1, 1, (1, 2), stride=2, padding=(0, 1))
    assert banded(weight, strided, 3, 2)[..., 0, 0].tolist() == [[2, 0, 0], [0, 1, 2]]


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.ConvTranspose2d(4, 4, 3),
        nn.Linear(4, 4),
    ],
    ids=str,
)
def test_other_layers_cannot_be_rowwise(layer):
    assert not can_be_rowwise(layer)


def test_grouped_and_dilated_convolutions(generator):
    features = torch.randn(2, 4, 9, 9, generator=generator, dtype=torch.float64)
    for layer in (nn.Conv2d(4, 6, 3, groups=2), nn.Conv2d(4, 6, 3, dilation=2, padding=1)):
        assert agrees(Convolution(layer.double(), None), layer, features)
