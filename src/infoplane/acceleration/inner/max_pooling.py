"""Max-pooling."""

from typing import Any

import torch
from torch import Tensor

from infoplane.acceleration.inner.operation import Operation, in_layout_of


class MaxPooling(Operation):
    """Max-pooling; the arguments are those of `max_pool2d`."""

    def __init__(
        self, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> None:
        window = _pair(kernel_size), _pair(kernel_size if stride is None else stride)
        self._settings = *window, _pair(padding), _pair(dilation), ceil_mode

    @property
    def halves(self) -> bool:
        """Whether windows are 2x2 and do not overlap."""
        return self._settings == ([2, 2], [2, 2], [0, 0], [1, 1], False)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return the maxima."""
        (features,) = inputs
        output, indices = torch.ops.aten.max_pool2d_with_indices(features, *self._settings)
        return output, (features, indices)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, indices = saved
        gradient = in_layout_of(features, gradient)
        return (torch.ops.aten.max_pool2d_with_indices_backward(gradient, features, *self._settings, indices),)


def _pair(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else [*size]
