"""Convolution of few channels and the max-pooling after it, row by row, on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration.inner.convolution import Convolution, input_gradient
from infoplane.acceleration.inner.max_pooling import MaxPooling
from infoplane.acceleration.inner.rowwise_convolution import (
    as_rows,
    banded,
    from_rows,
    output_size,
    vertical_settings,
)


class RowwisePooledConvolution(Convolution):
    """A convolution and the max-pooling in 2x2 after it, of an output with even sides.

    Both passes treat whole rows as channels (see `RowwiseConvolution`). The even columns of the convolution's output
    stand before the odd ones, so that the pixels of a window lie half a row apart, and pooling compares vectors of
    `width / 2 * channels` instead of a few channels at a time. Sums are those of `conv2d` in another order; among equal
    maxima the gradient goes to the one that `max_pool2d` takes.
    """

    _pooling = MaxPooling(2)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return the maxima, `(batch, channels_out, height_out / 2, width_out / 2)`.

        Raises:
            RuntimeError: the output of the convolution has odd sides.
        """
        (features,) = inputs
        if not can_be_pooled(features, self.layer):
            raise RuntimeError(f"the output of {self.layer} has odd sides: it cannot be pooled row by row")
        rows = as_rows(features.to(self.dtype or features.dtype))
        width, (_, width_out) = features.shape[3], output_size(features, self.layer)
        kernel, bias = self._kernel(rows.dtype, width, width_out)
        convolved = torch.conv2d(rows, kernel, bias, *vertical_settings(self.layer))
        maxima, pooled = self._pooling.forward(from_rows(convolved, 2))
        return from_rows(maxima, width_out // 2), (rows, features.dtype, width, width_out, pooled)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        rows, dtype, width, width_out, pooled = saved
        (to_convolved,) = self._pooling.backward(pooled, as_rows(gradient))
        assert to_convolved is not None
        kernel, _ = self._kernel(rows.dtype, width, width_out)
        found = input_gradient(as_rows(to_convolved), rows, kernel, *vertical_settings(self.layer))
        return (from_rows(found, width).to(dtype),)

    def _kernel(self, dtype: torch.dtype, width: int, width_out: int) -> tuple[Tensor, Tensor | None]:
        key = dtype, width
        if key not in self._cache:
            weight, bias = self.weights(dtype)
            kernel = _even_columns_first(banded(weight, self.layer, width, width_out), width_out)
            self._cache[key] = kernel, None if bias is None else bias.repeat(width_out)
        kernel_and_bias: tuple[Tensor, Tensor | None] = self._cache[key]
        return kernel_and_bias


def can_be_pooled(features: Tensor, layer: nn.Conv2d) -> bool:
    """Return whether the output of this convolution has even sides."""
    height, width = output_size(features, layer)
    return height % 2 == width % 2 == 0 and min(height, width) > 0


def _even_columns_first(kernel: Tensor, width_out: int) -> Tensor:
    columns = torch.arange(len(kernel), device=kernel.device).view(width_out // 2, 2, -1).transpose(0, 1).flatten()
    return kernel.permute(0, 2, 3, 1)[columns].permute(0, 3, 1, 2)
