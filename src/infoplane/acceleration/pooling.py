"""Max-pooling in 2x2 of maps with few channels, by whole rows."""

from typing import Any

import torch
from torch import Tensor

FEW_CHANNELS = 16  # fewer do not fill a library's vectors


def can_pool_by_rows(features: Tensor, kernel: Any, stride: Any, *, others: tuple[Any, ...]) -> bool:
    """Whether `PooledByRows` computes what `max_pool2d` with these arguments does, for maps with few channels.

    Args:
        features: what is pooled.
        kernel: its `kernel_size`.
        stride: its `stride`.
        others: its padding, dilation, `ceil_mode` and `return_indices`.
    """
    return (
        kernel in (2, (2, 2))
        and stride in (None, 2, (2, 2))
        and others == (0, 1, False, False)
        and features.ndim == 4
        and features.shape[1] < FEW_CHANNELS
        and features.shape[2] % 2 == features.shape[3] % 2 == 0
        and features.is_contiguous(memory_format=torch.channels_last)
    )


class PooledByRows(torch.autograd.Function):
    """Pairs of rows first, whose vectors are `width * channels` long, then pairs of pixels.

    Maxima are the same to the last bit; where two are equal, the gradient may go to the other one.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        """Return the maxima, `(batch, channels, height / 2, width / 2)`."""
        batch, channels, height, width = features.shape
        exact = torch.promote_types(features.dtype, torch.float32)  # bfloat16 has no fast maximum of short vectors
        rows = features.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width * channels).to(exact)
        higher = torch.maximum(rows[:, :, 0], rows[:, :, 1]).view(batch, height // 2, width // 2, 2, channels)
        ctx.save_for_backward(rows, higher)
        ctx.shape, ctx.dtype = features.shape, features.dtype
        return torch.maximum(higher[..., 0, :], higher[..., 1, :]).permute(0, 3, 1, 2).to(features.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        """Return the gradient with respect to `features`."""
        rows, higher = ctx.saved_tensors
        batch, channels, height, width = ctx.shape
        gradient = gradient.permute(0, 2, 3, 1).to(rows.dtype)
        beside = torch.empty_like(higher)
        _deal(gradient, higher[..., 0, :] - higher[..., 1, :], beside[..., 0, :], beside[..., 1, :])
        below = torch.empty_like(rows, dtype=ctx.dtype)
        _deal(beside.view_as(rows[:, :, 0]), rows[:, :, 0] - rows[:, :, 1], below[:, :, 0], below[:, :, 1])
        return below.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _deal(gradient: Tensor, difference: Tensor, first: Tensor, second: Tensor) -> None:
    """Write the gradient into `first` where the difference is positive, into `second` elsewhere."""
    own = torch.ops.aten.threshold_backward(gradient, difference, 0)  # a comparison and a choice in one quick pass
    first.copy_(own)
    second.copy_(gradient - own)
