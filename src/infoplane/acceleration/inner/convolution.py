"""Convolution with fixed weights, with a BatchNorm after it folded in."""

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from infoplane.acceleration.inner.batch_norm import folded
from infoplane.acceleration.inner.operation import Operation


class Convolution(Operation):
    """A convolution.

    Args:
        layer: gives weights and settings.
        dtype: it computes in this type; None for the type of its input.
        norm: BatchNorm with fixed statistics after the convolution, computed with it.
    """

    def __init__(self, layer: nn.Conv2d, dtype: torch.dtype | None, norm: nn.BatchNorm2d | None = None) -> None:
        self.layer, self.dtype, self.norm = layer, dtype, norm
        self._cache: dict[Any, Any] = {}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return `(batch, channels_out, height_out, width_out)`."""
        (features,) = inputs
        converted = features.to(self.dtype or features.dtype)
        (weight, bias), layer = self.weights(converted.dtype), self.layer
        output = torch.conv2d(converted, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
        return output, (converted, features.dtype)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, dtype = saved
        layer, (weight, _) = self.layer, self.weights(features.dtype)
        found = input_gradient(gradient, features, weight, layer.stride, layer.padding, layer.dilation, layer.groups)
        return (found.to(dtype),)

    def weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return weight and bias in this type, computed once until the cache is cleared."""
        if dtype not in self._cache:
            weight, bias = self.layer.weight, self.layer.bias
            if self.norm is not None:
                weight, bias = folded(weight, bias, self.norm)
            self._cache[dtype] = weight.to(dtype), None if bias is None else bias.to(dtype)
        weights: tuple[Tensor, Tensor | None] = self._cache[dtype]
        return weights

    def clear_cache(self) -> None:
        """Forget the prepared weights."""
        self._cache.clear()


def is_convolution(layer: nn.Module | None) -> TypeGuard[nn.Conv2d]:
    """Return whether `Convolution` computes this layer: padded with zeros, no subclass and not parametrised."""
    return type(layer) is nn.Conv2d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str)


def input_gradient(
    gradient: Tensor,
    features: Tensor,
    weight: Tensor,
    stride: Any,
    padding: Any,
    dilation: Any = (1, 1),
    groups: int = 1,
) -> Tensor:
    """Return the gradient of `conv2d` to its features. Only their shape and layout are used, not their values."""
    settings = [*stride], [*padding], [*dilation]
    wanted = [True, False, False]
    found: Tensor = torch.ops.aten.convolution_backward(
        gradient, features, weight, None, *settings, False, [0, 0], groups, wanted
    )[0]
    return found
