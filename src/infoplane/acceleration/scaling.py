"""BatchNorm with fixed statistics as one multiplication and addition of whole rows, for a CPU."""

import torch
from torch import Tensor, nn


def has_fixed_statistics(layer: nn.Module) -> bool:
    """Whether `scaled_and_shifted` computes what this layer does in evaluation mode."""
    return type(layer) is nn.BatchNorm2d and layer.running_mean is not None


def scaled_and_shifted(
    features: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Return `batch_norm` by running statistics, `(batch, channels, height, width)`; scale and shift are rounded to the
    features' precision.

    torch's own gradient of it gathers those of weight and bias on the way, which an attack does not ask for. And where
    channels come last, a whole row of pixels is multiplied at once: few channels are too short for vector instructions.
    """
    scale = torch.rsqrt(variance + eps)
    if weight is not None:
        scale = scale * weight
    shift = -mean * scale if bias is None else torch.addcmul(bias, mean, scale, value=-1)
    scale, shift = scale.to(features.dtype), shift.to(features.dtype)
    batch, channels, height, width = features.shape
    if not features.is_contiguous(memory_format=torch.channels_last):
        return torch.addcmul(shift.view(channels, 1, 1), features, scale.view(channels, 1, 1))
    rows = features.permute(0, 2, 3, 1).view(batch * height, width * channels)
    rows = torch.addcmul(shift.repeat(width), rows, scale.repeat(width))
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)
