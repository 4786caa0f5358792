"""Convolutions with the max-pooling after them, as products of whole rows both ways: for narrow ones on a CPU."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import Node

from infoplane.acceleration.row_products import banded, can_go_by_rows, map_size, rows_added
from infoplane.acceleration.tracing import traced

_pooled = torch.ops.aten.max_pool2d_with_indices
_pooled_backward = torch.ops.aten.max_pool2d_with_indices_backward
TWO = ([2, 2], [2, 2])


def poolable_convolutions(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Return the names of convolutions of which a max-pooling in 2x2 alone sees what they give, as `images` pass.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)`; a few are enough.
    """
    convolutions = {name: layer for name, layer in network.named_modules() if can_go_by_rows(layer)}
    takers, gave, _ = traced(network, images, convolutions, {})
    calls = [name for names in gave.values() for name in names]
    return tuple(
        name
        for node, (name, *_) in gave.items()
        if [_pools_in_two(taker) for taker in takers.get(node, [])] == [True] and calls.count(name) == 1
    )


def pools_in_two(
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> bool:
    """Whether these arguments of `max_pool2d` mean windows of 2x2 that do not overlap, and no indices."""
    sizes = kernel_size in (2, (2, 2)) and stride in (None, 2, (2, 2))
    return sizes and (padding, dilation, ceil_mode, return_indices) == (0, 1, False, False)


def can_be_pooled(features: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> bool:
    """Whether the map of this convolution has even sides, as `PooledConvolutionByRows` needs it."""
    height, width = map_size(features, weight, stride, padding)
    return height % 2 == width % 2 == 0 and min(height, width) > 0


class PooledConvolutionByRows(torch.autograd.Function):
    """`max_pool2d(conv2d(...), 2)` of frozen weights, of an even map.

    A row of the map is one product of the rows below the kernel with a banded matrix. Its even columns stand before its
    odd ones, so that the pixels of a window lie half a row apart: pooling compares vectors of `width / 2 * channels`
    where the library would compare a few channels at a time. Sums are those of `conv2d` in another order; among equal
    maxima the gradient goes to the one that `max_pool2d` takes.
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
        """Return the maxima, `(batch, channels_out, height_out / 2, width_out / 2)`."""
        batch, channels, height, width = features.shape
        channels_out, _, rows_of_kernel, _ = weight.shape
        (down, across), (above, beside) = stride, padding
        rows_out, width_out = map_size(features, weight, stride, padding)
        device = features.device.type  # a run that began on a CPU may continue elsewhere
        low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else features.dtype
        rows = features.permute(0, 2, 3, 1).reshape(batch, height, width * channels).to(low)
        rows = F.pad(rows, (0, 0, above, above)) if above else rows.contiguous()
        image, row, _ = rows.stride()
        seen = rows.as_strided((batch, rows_out, rows_of_kernel * width * channels), (image, down * row, 1))
        matrix = banded(weight.to(low), width, width_out, across, beside)
        matrix = matrix.view(width_out // 2, 2, channels_out, -1).transpose(0, 1).reshape(matrix.shape)
        output = F.linear(
            seen.reshape(batch * rows_out, -1), matrix, None if bias is None else bias.to(low).repeat(width_out)
        )
        maps = output.view(batch, rows_out, 2, -1).permute(0, 3, 1, 2)
        maxima, places = _pooled(maps, *TWO)
        ctx.save_for_backward(matrix, maps, places)
        ctx.shape, ctx.dtype, ctx.stride, ctx.padding = features.shape, features.dtype, stride, padding
        ctx.rows_of_kernel = rows_of_kernel
        maxima = maxima.permute(0, 2, 3, 1).reshape(batch, rows_out // 2, width_out // 2, channels_out)
        result: Tensor = maxima.permute(0, 3, 1, 2)
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient with respect to `features` alone."""
        matrix, maps, places = ctx.saved_tensors
        batch, _, rows_out, _ = maps.shape
        gradient = gradient.permute(0, 2, 3, 1).reshape(batch, rows_out // 2, 1, -1).permute(0, 3, 1, 2)
        spread = _pooled_backward(gradient, maps, *TWO, [0, 0], [1, 1], False, places)
        rows = spread.permute(0, 2, 3, 1).reshape(batch * rows_out, -1) @ matrix
        rows = rows.view(batch, rows_out, ctx.rows_of_kernel, -1)
        added = rows_added(rows, ctx.shape, ctx.dtype, ctx.stride[0], ctx.padding[0])
        return added, None, None, None, None


def _pools_in_two(node: Node) -> bool:
    if node.name() != "MaxPool2DWithIndicesBackward0":
        return False
    saved: Any = node
    return (
        (*saved._saved_kernel_size,) == (2, 2)
        and (*saved._saved_stride,) in ((), (2, 2))
        and (*saved._saved_padding, *saved._saved_dilation) == (0, 0, 1, 1)
        and not saved._saved_ceil_mode
    )
