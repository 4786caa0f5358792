"""Convolutions with the max-pooling after them, on whole rows of a map both ways: for narrow ones on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration.operations import Convolution, MaxPooling, input_gradient
from infoplane.acceleration.row_products import as_rows, banded, from_rows, map_size, steps_down


def can_be_pooled(features: Tensor, layer: nn.Conv2d) -> bool:
    """Whether the map of this convolution has even sides, as `PooledConvolutionByRows` needs it."""
    height, width = map_size(features, layer)
    return height % 2 == width % 2 == 0 and min(height, width) > 0


class PooledConvolutionByRows(Convolution):
    """A convolution and the max-pooling after it, in windows of 2x2, of a map with even sides.

    It goes by rows both ways (see `ConvolutionByRows`). The even columns of the map stand before its odd ones, so that
    the pixels of a window lie half a row apart: pooling compares vectors of `width / 2 * channels` where the library
    would compare a few channels at a time. Sums are those of `conv2d` in another order; among equal maxima the gradient
    goes to the one that `max_pool2d` takes.
    """

    _pooling = MaxPooling(2)

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return the maxima, `(batch, channels_out, height_out / 2, width_out / 2)`.

        Raises:
            RuntimeError: the map has odd sides.
        """
        (features,) = given
        if not can_be_pooled(features, self.layer):
            raise RuntimeError(f"the map of {self.layer} has odd sides: it cannot be pooled by rows")
        rows = as_rows(features.to(self.low or features.dtype))
        width, (_, width_out) = features.shape[3], map_size(features, self.layer)
        there, bias, _ = self._kernels(rows.dtype, width, width_out)
        maxima, saved = self._pooling.forward(from_rows(torch.conv2d(rows, there, bias, *steps_down(self.layer)), 2))
        return from_rows(maxima, width_out // 2), (rows, features.dtype, width, width_out, saved)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        rows, dtype, width, width_out, pooled = saved
        (spread,) = self._pooling.backward(pooled, as_rows(gradient))
        assert spread is not None
        _, _, back = self._kernels(rows.dtype, width, width_out)
        found = input_gradient(as_rows(spread), rows, back, *steps_down(self.layer))
        return (from_rows(found, width).to(dtype),)

    def _kernels(self, dtype: torch.dtype, width: int, width_out: int) -> tuple[Tensor, Tensor | None, Tensor]:
        made = dtype, width
        if made not in self._made:
            weight, bias, back = self.weights(dtype)
            there = _even_first(banded(weight, self.layer, width, width_out), width_out)
            self._made[made] = (
                there,
                None if bias is None else bias.repeat(width_out),
                there if back is weight else _even_first(banded(back, self.layer, width, width_out), width_out),
            )
        kernels: tuple[Tensor, Tensor | None, Tensor] = self._made[made]
        return kernels


def _even_first(kernel: Tensor, width_out: int) -> Tensor:
    columns = torch.arange(len(kernel), device=kernel.device).view(width_out // 2, 2, -1).transpose(0, 1).flatten()
    return kernel.permute(0, 2, 3, 1)[columns].permute(0, 3, 1, 2)
