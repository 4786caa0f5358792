"""Convolutions of few channels whose input gradient comes several pixels at a time, on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn

from infoplane.acceleration.operations import Convolution
from infoplane.acceleration.row_products import can_go_by_rows, steps_of

FULL = 16  # channels, to which a library pads a vector


def can_go_by_groups(layer: nn.Module) -> bool:
    """Whether `ConvolutionByGroups` computes what this layer does, several pixels at a time."""
    return can_go_by_rows(layer) and layer.stride == (1, 1) and 2 * int(layer.in_channels) <= FULL  # type: ignore[arg-type]


class ConvolutionByGroups(Convolution):
    """A convolution of stride 1 whose way back gives the channels of neighbouring pixels as channels of one.

    A library's own input gradient pads its result to full vectors of channels, of which three leave most empty. Here
    it is a convolution with a wider kernel, whose stride is the group. The sums are the same, in another order.
    """

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        features, dtype = saved
        batch, channels, height, width = features.shape
        pixels = max(size for size in range(1, FULL // channels + 1) if width % size == 0)
        _, _, back = self.weights(features.dtype)
        made = features.dtype, pixels
        if made not in self._made:
            self._made[made] = _of_groups(back, pixels)
        (_, (above, beside)) = steps_of(self.layer)
        around = back.shape[2] - 1 - above, back.shape[3] - 1 - beside
        if min(around) < 0:  # padded by more than the kernel reaches
            return super().backward(saved, gradient)
        groups = torch.conv2d(gradient, self._made[made], None, (1, pixels), around)
        found = groups.permute(0, 2, 3, 1).reshape(batch, height, width, channels)
        return (found.permute(0, 3, 1, 2).to(dtype),)


def _of_groups(weight: Tensor, pixels: int) -> Tensor:
    channels_out, channels, height, width = weight.shape
    kernel = weight.new_zeros(pixels, channels, channels_out, height, width + pixels - 1)
    for pixel in range(pixels):
        kernel[pixel, ..., pixel : pixel + width] = weight.flip(2, 3).transpose(0, 1)
    return kernel.flatten(0, 1).contiguous(memory_format=torch.channels_last)
