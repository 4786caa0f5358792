"""Convolutions whose input gradient is one matrix product per row of the map, for narrow ones on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

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
    stride, padding = layer.stride, layer.padding
    _, width_out = map_size(features, layer.weight, stride, padding)  # type: ignore[arg-type]  # no text here
    return width_out * layer.out_channels * layer.kernel_size[0] * features.shape[3] * layer.in_channels <= MOST_ENTRIES


def map_size(features: Tensor, weight: Tensor, stride: tuple[int, ...], padding: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of what a convolution without dilation gives."""
    height, width = (
        (size + 2 * around - kernel) // step + 1
        for size, kernel, step, around in zip(features.shape[2:], weight.shape[2:], stride, padding, strict=True)
    )
    return height, width


class ConvolutionByRows(torch.autograd.Function):
    """`conv2d` of frozen weights. Each row of the output's gradient is multiplied by one banded matrix.

    A library's own input gradient pads its result to full vectors of channels, and of 1 to 3 channels most is padding.
    Here a whole row, `width * channels`, stands in the vector; the price is a product with the band's zeros. The sums
    are the same, in another order.
    """

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        """Return the convolution, `(batch, channels_out, height_out, width_out)`."""
        ctx.save_for_backward(weight)
        ctx.shape, ctx.dtype, ctx.stride, ctx.padding = features.shape, features.dtype, stride, padding
        return torch.conv2d(features, weight, bias, stride, padding)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient with respect to `features` alone."""
        (weight,) = ctx.saved_tensors
        rows_out, width_out = gradient.shape[2:]
        matrix = banded(weight.to(gradient.dtype), ctx.shape[3], width_out, ctx.stride[1], ctx.padding[1])
        rows = gradient.permute(0, 2, 3, 1).reshape(len(gradient) * rows_out, -1) @ matrix
        rows = rows.view(len(gradient), rows_out, weight.shape[2], -1)
        result = rows_added(rows, ctx.shape, ctx.dtype, ctx.stride[0], ctx.padding[0])
        return result, None, None, None, None


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
