"""What a network's layers compute while its weights hold still: forward, and back to what they were given alone."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration.folding import folded, scale_of

_pooled = torch.ops.aten.max_pool2d_with_indices
_pooled_backward = torch.ops.aten.max_pool2d_with_indices_backward
_averaged_backward = torch.ops.aten.avg_pool2d_backward
_convolved_backward = torch.ops.aten.convolution_backward
_relu_backward = torch.ops.aten.threshold_backward
_leaky_relu_backward = torch.ops.aten.leaky_relu_backward


class Operation:
    """One step of `FrozenNetwork`.

    Attributes:
        fresh: what it gives lies in new memory that it does not keep, so that the next may write there.
        gives_back: where the gradients lie that it gives back: in new memory, in that of the gradient that it was
            given, or in memory that others see too.
        overwrites: the gradient that it is given.
    """

    fresh = True
    gives_back: Literal["new", "given", "shared"] = "new"
    overwrites = False

    def forward(self, *given: Any) -> tuple[Any, Any]:
        """Return the output, and what the way back needs."""
        raise NotImplementedError

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to each tensor that was given.

        Args:
            saved: as `forward` returned it.
            gradient: to the output.
        """
        raise NotImplementedError

    def let_go(self) -> None:
        """Forget what was made of the weights: they move now."""


class Convolution(Operation):
    """A convolution, with the BatchNorm after it where that is folded in.

    Args:
        layer: whose weights.
        low: in which it computes; None for the precision of what it is given.
        norm: with fixed statistics, takes what `layer` gives.
    """

    def __init__(self, layer: nn.Conv2d, low: torch.dtype | None, norm: nn.BatchNorm2d | None = None) -> None:
        self.layer, self.low, self.norm = layer, low, norm
        self.scaled_by: nn.BatchNorm2d | None = None  # takes over the way back through this BatchNorm before it
        self._made: dict[Any, Any] = {}

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return the convolution, `(batch, channels_out, height_out, width_out)`."""
        (features,) = given
        low = features.to(self.low or features.dtype)
        weight, bias, _ = self.weights(low.dtype)
        layer = self.layer
        output = torch.conv2d(low, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        return output, (low, features.dtype)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, dtype = saved
        layer, (_, _, back) = self.layer, self.weights(features.dtype)
        found = input_gradient(gradient, features, back, layer.stride, layer.padding, layer.dilation, layer.groups)
        return (found.to(dtype),)

    def weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the weights and the bias there, and the weights back, made once until they move."""
        if dtype not in self._made:
            weight, bias = self.layer.weight, self.layer.bias
            if self.norm is not None:
                weight, bias = folded(weight, bias, self.norm)
            back = weight
            if self.scaled_by is not None:
                back = weight * scale_of(self.scaled_by).view(1, -1, 1, 1)
            self._made[dtype] = weight.to(dtype), None if bias is None else bias.to(dtype), back.to(dtype)
        made: tuple[Tensor, Tensor | None, Tensor] = self._made[dtype]
        return made

    def let_go(self) -> None:
        """Forget the weights."""
        self._made.clear()


class Linear(Operation):
    """A linear layer.

    Args:
        layer: whose weights.
        low: in which it computes; None for the precision of what it is given.
    """

    def __init__(self, layer: nn.Linear, low: torch.dtype | None) -> None:
        self.layer, self.low = layer, low
        self._made: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return `(..., features_out)`."""
        (features,) = given
        low = self.low or features.dtype
        return F.linear(features.to(low), *self._weights(low)), (low, features.dtype)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        low, dtype = saved
        return ((gradient @ self._weights(low)[0]).to(dtype),)

    def _weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        if dtype not in self._made:
            weight, bias = self.layer.weight, self.layer.bias
            self._made[dtype] = weight.to(dtype), None if bias is None else bias.to(dtype)
        return self._made[dtype]

    def let_go(self) -> None:
        """Forget the weights."""
        self._made.clear()


class BatchNorm(Operation):
    """A BatchNorm with fixed statistics.

    Attributes:
        carried: the convolutions that follow scale their gradients by it (`Convolution.scaled_by`).
    """

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        self.layer = layer
        self.carried = False
        self._scale: Tensor | None = None

    def carry(self, convolutions: list[Convolution]) -> None:
        """Leave the way back to the convolutions that follow: scaling each channel commutes with an activation's."""
        self.carried, self.gives_back = True, "given"
        for convolution in convolutions:
            convolution.scaled_by = self.layer

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return the features, normalised."""
        (features,) = given
        layer = self.layer
        output = torch.batch_norm(
            features, layer.weight, layer.bias, layer.running_mean, layer.running_var, False, 0.0, layer.eps, True
        )
        return output, None

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ARG002  # nothing is
        """Return the gradient to the features."""
        if self.carried:
            return (gradient,)
        if self._scale is None:
            self._scale = scale_of(self.layer)
        scale = self._scale.to(gradient.dtype)
        if gradient.is_contiguous(memory_format=torch.channels_last):  # rows are long vectors, channels are not
            batch, channels, height, width = gradient.shape
            rows = gradient.permute(0, 2, 3, 1).view(batch, height, -1) * scale.repeat(width)
            return (rows.view(batch, height, width, channels).permute(0, 3, 1, 2),)
        return (gradient * scale.view(1, -1, 1, 1),)

    def let_go(self) -> None:
        """Forget the scale."""
        self._scale = None


class Activation(Operation):
    """ReLU, or LeakyReLU with a positive slope: the way back needs the output alone.

    Attributes:
        writes: over what it is given, which nobody else needs.
    """

    fresh = False
    overwrites = True

    def __init__(self, slope: float = 0.0) -> None:
        self.slope, self.writes = slope, False

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return the activations."""
        (features,) = given
        if self.slope:
            output = F.leaky_relu(features, self.slope, inplace=self.writes)
        else:
            output = F.relu(features, inplace=self.writes)
        return output, output

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        if self.slope:
            _leaky_relu_backward.grad_input(gradient, saved, self.slope, True, grad_input=gradient)
        else:
            _relu_backward.grad_input(gradient, saved, 0, grad_input=gradient)
        return (gradient,)


class Sum(Operation):
    """Two tensors added.

    Attributes:
        writes: the place of the one that may be written over, if any.
    """

    gives_back = "shared"

    def __init__(self) -> None:
        self.writes: int | None = None

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return the sum."""
        one, other = given if self.writes != 1 else given[::-1]
        alike = one.dtype == other.dtype and one.shape == other.shape
        output = one + other if self.writes is None or not alike else one.add_(other)
        return output, tuple((tensor.shape, tensor.dtype) for tensor in given)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to both."""
        return tuple(gradient.sum_to_size(shape).to(dtype) for shape, dtype in saved)


class MaxPooling(Operation):
    """Max-pooling; the arguments are those of `max_pool2d`."""

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> None:
        self._window = _pair(kernel_size), _pair(kernel_size if stride is None else stride)
        self._rest = _pair(padding), _pair(dilation), ceil_mode

    @property
    def halves(self) -> bool:
        """Whether windows are 2x2 and do not overlap."""
        return (*self._window, *self._rest) == ([2, 2], [2, 2], [0, 0], [1, 1], False)

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return the maxima."""
        (features,) = given
        output, places = _pooled(features, *self._window, *self._rest)
        return output, (features, places)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, places = saved
        return (_pooled_backward(_laid_out_as(features, gradient), features, *self._window, *self._rest, places),)


class AveragePooling(Operation):
    """Average pooling in square windows that do not overlap.

    Args:
        size: of a window.
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return the means."""
        (features,) = given
        if features.shape[2:] == (self._size, self._size):
            return features.mean((2, 3), keepdim=True), features
        return F.avg_pool2d(features, self._size), features

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        size = self._size
        if saved.shape[2:] == (size, size):
            return (torch.empty_like(saved).copy_(gradient / size**2),)
        rest = [size, size], [size, size], [0, 0], False, True, None
        return (_averaged_backward(_laid_out_as(saved, gradient), saved, *rest),)


class Normalising(Operation):
    """A layer that normalises pixels: one that says by what it divides.

    Args:
        layer: `divides_pixels_by` a tensor, or None.
    """

    fresh = False
    gives_back = "given"

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return what the layer does."""
        return self.layer(*given), None

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ARG002  # nothing is
        """Return the gradient to the pixels."""
        divisor: Any = self.layer.divides_pixels_by
        return (gradient if divisor is None else gradient / divisor,)


class Flattening(Operation):
    """All but the first dimension in one."""

    fresh = False
    gives_back = "given"

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return `(batch, units)`."""
        (features,) = given
        return features.flatten(1), features

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features, laid out as these."""
        return (_laid_out_as(saved, gradient.reshape(saved.shape)),)


def input_gradient(
    gradient: Tensor,
    features: Tensor,
    weight: Tensor,
    stride: Any,
    padding: Any,
    dilation: Any = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Return the gradient of `conv2d` to its features, of which shape and layout alone count."""
    steps = [*stride], [*padding], [*dilation]
    asked = [True, False, False]
    found: Tensor = _convolved_backward(gradient, features, weight, None, *steps, False, [0, 0], groups, asked)[0]
    return found


def _laid_out_as(features: Tensor, gradient: Tensor) -> Tensor:
    if features.ndim == 4 and features.is_contiguous(memory_format=torch.channels_last):
        return gradient.contiguous(memory_format=torch.channels_last)
    return gradient


def _pair(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else [*size]
