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
    width = features.shape[3]
    width_out = (width + 2 * int(layer.padding[1]) - layer.kernel_size[1]) // layer.stride[1] + 1
    return width_out * layer.out_channels * layer.kernel_size[0] * width * layer.in_channels <= MOST_ENTRIES


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
        batch, channels, height, width = ctx.shape
        (down, across), (above, beside) = ctx.stride, ctx.padding
        rows_of_kernel = weight.shape[2]
        rows_out, width_out = gradient.shape[2:]
        matrix = banded(weight.to(gradient.dtype), width, width_out, across, beside)
        rows = gradient.permute(0, 2, 3, 1).reshape(batch * rows_out, -1) @ matrix
        rows = rows.view(batch, rows_out, rows_of_kernel, width * channels)
        padded = max(height + 2 * above, (rows_out - 1) * down + rows_of_kernel)
        total = torch.zeros(batch, padded, width * channels, dtype=ctx.dtype, device=gradient.device)
        for row in range(rows_of_kernel):
            total[:, row : row + (rows_out - 1) * down + 1 : down] += rows[:, :, row]
        result = total[:, above : above + height].reshape(batch, height, width, channels).permute(0, 3, 1, 2)
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
