"""Convolutions whose input gradient is one matrix product per row of the map, for narrow ones on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration.operations import Convolution

MOST_ENTRIES = 2**20  # of the banded matrix: beyond it, its zeros cost more than they save


def can_go_by_rows(layer: nn.Module) -> bool:
    """Whether `ConvolutionByRows` computes what this layer does."""
    return (
        type(layer) is nn.Conv2d
        and layer.groups == 1
        and layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and not isinstance(layer.padding, str)
    )


def is_small(layer: nn.Conv2d, features: Tensor) -> bool:
    """Whether the banded matrix for these features, `(batch, channels, height, width)`, is worth a try."""
    _, width_out = map_size(features, layer.weight, *steps_of(layer))
    return width_out * layer.out_channels * layer.kernel_size[0] * features.shape[3] * layer.in_channels <= MOST_ENTRIES


def map_size(features: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of what a convolution without dilation gives."""
    height, width = (
        (size + 2 * around - kernel) // step + 1
        for size, kernel, step, around in zip(features.shape[2:], weight.shape[2:], stride, padding, strict=True)
    )
    return height, width


class ConvolutionByRows(Convolution):
    """A convolution whose way back multiplies each row of the output's gradient by one banded matrix.

    A library's own input gradient pads its result to full vectors of channels, and of 1 to 3 channels most is padding.
    Here a whole row, `width * channels`, stands in the vector; the price is a product with the band's zeros. The sums
    are the same, in another order.
    """

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, dtype = saved
        _, _, back = self.weights(features.dtype)
        rows_out, width_out = gradient.shape[2:]
        (down, across), (above, beside) = steps_of(self.layer)
        width = features.shape[3]
        made = features.dtype, width
        if made not in self._made:
            self._made[made] = banded(back, width, width_out, across, beside)
        rows = gradient.permute(0, 2, 3, 1).reshape(len(gradient) * rows_out, -1) @ self._made[made]
        rows = rows.view(len(gradient), rows_out, back.shape[2], -1)
        return (rows_added(rows, features.shape, dtype, down, above),)


def steps_of(layer: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return stride and padding, each down and across, of a layer with `can_go_by_rows`."""
    (down, across), padding = layer.stride, layer.padding
    return (down, across), (int(padding[0]), int(padding[1]))


def banded(weight: Tensor, width: int, width_out: int, stride: int, padding: int) -> Tensor:
    """Return the matrix from a row of the output to the rows of the input that it saw.

    Args:
        weight: `(channels_out, channels_in, height, kernel)`.
        width: of the input, in pixels.
        width_out: of the output.
        stride: across.
        padding: on each side.

    Returns:
        `(width_out * channels_out, height * width * channels_in)`.
    """
    channels_out, channels_in, height, kernel = weight.shape
    padded = max(width + 2 * padding, (width_out - 1) * stride + kernel)
    matrix = weight.new_zeros(width_out, channels_out, height, padded, channels_in)
    own = matrix.stride()
    # a step along the output's row is a step of the kernel along the input's: the diagonal of the two axes
    band = matrix.as_strided(
        (width_out, channels_out, height, kernel, channels_in), (own[0] + stride * own[3], *own[1:])
    )
    band.copy_(weight.permute(0, 2, 3, 1).expand_as(band))
    return matrix[:, :, :, padding : padding + width].reshape(width_out * channels_out, -1)


def rows_added(rows: Tensor, shape: torch.Size, dtype: torch.dtype, stride: int, padding: int) -> Tensor:
    """Add up what the rows of an output give to the rows of the input that they saw.

    Args:
        rows: `(batch, rows_out, rows_of_kernel, width * channels)`.
        shape: of the input, `(batch, channels, height, width)`.
        dtype: of the sums.
        stride: down.
        padding: above and below.
    """
    batch, channels, height, width = shape
    rows_out, rows_of_kernel = rows.shape[1:3]
    padded = max(height + 2 * padding, (rows_out - 1) * stride + rows_of_kernel)
    total = torch.zeros(batch, padded, width * channels, dtype=dtype, device=rows.device)
    for row in range(rows_of_kernel):
        total[:, row : row + (rows_out - 1) * stride + 1 : stride] += rows[:, :, row]
    return total[:, padding : padding + height].reshape(batch, height, width, channels).permute(0, 3, 1, 2)
