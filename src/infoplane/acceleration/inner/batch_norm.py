"""BatchNorm with fixed statistics: alone, or folded into the convolution before it."""

from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration.inner.operation import Operation


class BatchNorm(Operation):
    """A BatchNorm with fixed statistics."""

    def __init__(self, layer: nn.BatchNorm2d) -> None:
        self.layer = layer
        self._scale: Tensor | None = None

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return the normalised features."""
        (features,) = inputs
        layer = self.layer
        output = torch.batch_norm(
            features, layer.weight, layer.bias, layer.running_mean, layer.running_var, False, 0.0, layer.eps, True
        )
        return output, None

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ARG002  # nothing is saved
        """Return the gradient to the features."""
        if self._scale is None:
            self._scale = _scale_of(self.layer)
        scale = self._scale.to(gradient.dtype)
        if gradient.is_contiguous(memory_format=torch.channels_last):  # whole rows are longer vectors than channels
            batch, channels, height, width = gradient.shape
            rows = gradient.permute(0, 2, 3, 1).view(batch, height, -1) * scale.repeat(width)
            return (rows.view(batch, height, width, channels).permute(0, 3, 1, 2),)
        return (gradient * scale.view(1, -1, 1, 1),)

    def clear_cache(self) -> None:
        """Forget the scale."""
        self._scale = None


def _scale_of(norm: nn.BatchNorm2d) -> Tensor:
    """Return the factor of each channel, `(channels,)`."""
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    return scale if norm.weight is None else scale * norm.weight


def folded(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of one convolution that equals a convolution followed by `norm`."""
    assert norm.running_mean is not None
    scale = _scale_of(norm)
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    shift = shift * scale
    return weight * scale.view(-1, 1, 1, 1), shift if norm.bias is None else shift + norm.bias
