"""BatchNorm with fixed statistics, whose input gradient is one multiplication."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def has_fixed_statistics(layer: nn.Module) -> bool:
    """Whether `FixedBatchNorm` computes what this layer does in evaluation mode."""
    return type(layer) is nn.BatchNorm2d and layer.running_mean is not None


class FixedBatchNorm(torch.autograd.Function):
    """`batch_norm` by running statistics and of frozen weights: the gradient is scaled, channel by channel."""

    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        mean: Tensor,
        variance: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        """Return the normalised features, `(batch, channels, height, width)`."""
        scale = torch.rsqrt(variance + eps)
        ctx.save_for_backward(scale if weight is None else scale * weight)
        return F.batch_norm(features, mean, variance, weight, bias, training=False, eps=eps)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient with respect to `features` alone."""
        (scale,) = ctx.saved_tensors
        scale = scale.to(gradient.dtype)
        batch, channels, height, width = gradient.shape
        if not gradient.is_contiguous(memory_format=torch.channels_last):
            return gradient * scale.view(1, channels, 1, 1), None, None, None, None, None
        # few channels are too short for a vector instruction, a whole row of them is not
        rows = gradient.permute(0, 2, 3, 1).view(batch * height, width * channels) * scale.repeat(width)
        return rows.view(batch, height, width, channels).permute(0, 3, 1, 2), None, None, None, None, None
