"""1x1 convolutions with a stride: what goes back is a product of the few pixels that they see."""

from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration.operations import Convolution


def sees_points(layer: nn.Conv2d) -> bool:
    """Whether the layer is such a convolution."""
    alone = layer.kernel_size == (1, 1) and layer.padding == (0, 0) and layer.groups == 1
    return alone and layer.stride[0] == layer.stride[1] > 1


class StridedPoints(Convolution):
    """A 1x1 convolution with a stride, as the shortcuts of residual networks are.

    A library goes through all pixels on the way back, of which most get nothing. Here the product gives the pixels
    between two that are seen too, as zeros, so that a row is written at once.
    """

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, dtype = saved
        batch, channels, height, width = features.shape
        stride = self.layer.stride[0]
        if height % stride or width % stride:
            return super().backward(saved, gradient)
        made = features.dtype, "points"
        if made not in self._made:
            _, _, back = self.weights(features.dtype)
            seen = back.flatten(1)
            self._made[made] = torch.cat([seen, seen.new_zeros(len(seen), (stride - 1) * channels)], dim=1)
        rows = gradient.permute(0, 2, 3, 1).reshape(-1, gradient.shape[1]) @ self._made[made]
        found = torch.zeros(batch, height // stride, stride, width * channels, dtype=dtype, device=gradient.device)
        found[:, :, 0] = rows.view(batch, height // stride, -1)
        return (found.view(batch, height, width, channels).permute(0, 3, 1, 2),)
