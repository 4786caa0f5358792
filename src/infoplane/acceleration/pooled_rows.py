"""Convolutions with the max-pooling after them, as products of whole rows both ways: for narrow ones on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration.operations import Convolution
from infoplane.acceleration.row_products import banded, map_size, rows_added, steps_of

_pooled = torch.ops.aten.max_pool2d_with_indices
_pooled_backward = torch.ops.aten.max_pool2d_with_indices_backward
TWO = ([2, 2], [2, 2])


def can_be_pooled(features: Tensor, layer: nn.Conv2d) -> bool:
    """Whether the map of this convolution has even sides, as `PooledConvolutionByRows` needs it."""
    height, width = map_size(features, layer.weight, *steps_of(layer))
    return height % 2 == width % 2 == 0 and min(height, width) > 0


class PooledConvolutionByRows(Convolution):
    """A convolution and the max-pooling after it, in windows of 2x2, of a map with even sides.

    A row of the map is one product of the rows below the kernel with a banded matrix. Its even columns stand before its
    odd ones, so that the pixels of a window lie half a row apart: pooling compares vectors of `width / 2 * channels`
    where the library would compare a few channels at a time. Sums are those of `conv2d` in another order; among equal
    maxima the gradient goes to the one that `max_pool2d` takes.
    """

    def forward(self, *given: Tensor) -> tuple[Tensor, Any]:
        """Return the maxima, `(batch, channels_out, height_out / 2, width_out / 2)`.

        Raises:
            RuntimeError: the map has odd sides.
        """
        (features,) = given
        if not can_be_pooled(features, self.layer):
            raise RuntimeError(f"the map of {self.layer} has odd sides: it cannot be pooled by rows")
        low = self.low or features.dtype
        batch, channels, height, width = features.shape
        (down, _), (above, _) = steps_of(self.layer)
        rows_out, width_out = map_size(features, self.layer.weight, *steps_of(self.layer))
        there, bias, _ = self._matrices(low, width, width_out)
        rows = features.permute(0, 2, 3, 1).reshape(batch, height, width * channels).to(low)
        rows = F.pad(rows, (0, 0, above, above)) if above else rows.contiguous()
        image, row, _ = rows.stride()
        seen = rows.as_strided((batch, rows_out, len(there[0])), (image, down * row, 1))
        output = F.linear(seen.reshape(batch * rows_out, -1), there, bias)
        maps = output.view(batch, rows_out, 2, -1).permute(0, 3, 1, 2)
        maxima, places = _pooled(maps, *TWO)
        maxima = maxima.permute(0, 2, 3, 1).reshape(batch, rows_out // 2, width_out // 2, -1).permute(0, 3, 1, 2)
        return maxima, (features.shape, features.dtype, maps, places, width_out)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        shape, dtype, maps, places, width_out = saved
        batch, _, rows_out, _ = maps.shape
        (down, _), (above, _) = steps_of(self.layer)
        _, _, back = self._matrices(maps.dtype, shape[3], width_out)
        gradient = gradient.permute(0, 2, 3, 1).reshape(batch, rows_out // 2, 1, -1).permute(0, 3, 1, 2)
        spread = _pooled_backward(gradient, maps, *TWO, [0, 0], [1, 1], False, places)
        rows = spread.permute(0, 2, 3, 1).reshape(batch * rows_out, -1) @ back
        rows = rows.view(batch, rows_out, self.layer.kernel_size[0], -1)
        return (rows_added(rows, shape, dtype, down, above),)

    def _matrices(self, dtype: torch.dtype, width: int, width_out: int) -> tuple[Tensor, Tensor | None, Tensor]:
        made = dtype, width
        if made not in self._made:
            weight, bias, back = self.weights(dtype)
            there = self._matrix(weight, width, width_out)
            self._made[made] = (
                there,
                None if bias is None else bias.repeat(width_out),
                there if back is weight else self._matrix(back, width, width_out),
            )
        matrices: tuple[Tensor, Tensor | None, Tensor] = self._made[made]
        return matrices

    def _matrix(self, weight: Tensor, width: int, width_out: int) -> Tensor:
        (_, across), (_, beside) = steps_of(self.layer)
        matrix = banded(weight, width, width_out, across, beside)
        return matrix.view(width_out // 2, 2, len(weight), -1).transpose(0, 1).reshape(matrix.shape)
