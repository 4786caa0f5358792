"""BatchNorm with fixed statistics as part of the convolution before it, while the weights hold still."""

import torch
from torch import Tensor, nn


def scale_of(norm: nn.BatchNorm2d) -> Tensor:
    """Return what `norm` multiplies each channel by, `(channels,)`."""
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    return scale if norm.weight is None else scale * norm.weight


def folded(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the one convolution that computes `norm` of the other."""
    assert norm.running_mean is not None
    scale = scale_of(norm)
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    shift = shift * scale
    return weight * scale.view(-1, 1, 1, 1), shift if norm.bias is None else shift + norm.bias
