"""Memory layout of images: the one in which a model's convolutions were laid out."""

import torch
from torch import Tensor, nn


def memory_format(model: nn.Module) -> torch.memory_format:
    """Return channels_last if a convolution's weights are laid out so, else contiguous.

    A model of the user's own stays as it came: many flatten with `view`, which fails on channels_last.
    """
    for parameter in model.parameters():
        if parameter.ndim == 4 and not parameter.is_contiguous():
            return torch.channels_last
    return torch.contiguous_format


def copied_pixels(images: Tensor, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Return what `as_pixels` does, in memory of its own: a model may write over its input."""
    pixels = as_pixels(images, layout)
    return pixels.clone() if pixels.untyped_storage().data_ptr() == images.untyped_storage().data_ptr() else pixels


def as_pixels(images: Tensor, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Return images, `(n, channels, height, width)` uint8 or floats in [0, 1], as float32 in [0, 1] in a layout."""
    floats = images.float().div_(255) if images.dtype == torch.uint8 else images.float()
    return floats.contiguous(memory_format=layout)
