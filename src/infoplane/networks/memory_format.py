"""Memory format of images: the one that the weights of a model's convolutions have."""

import torch
from torch import Tensor, nn


def memory_format(model: nn.Module) -> torch.memory_format:
    """Return channels_last if a convolution's weights have that format, else contiguous.

    The format of the user's own model is not changed: many flatten with `view`, which fails on channels_last.
    """
    for parameter in model.parameters():
        if parameter.ndim == 4 and not parameter.is_contiguous():
            return torch.channels_last
    return torch.contiguous_format


def copied_pixels(images: Tensor, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Return the result of `as_pixels` in memory of its own, since a model may overwrite its input."""
    pixels = as_pixels(images, layout)
    return pixels.clone() if pixels.untyped_storage().data_ptr() == images.untyped_storage().data_ptr() else pixels


def as_pixels(images: Tensor, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    """Return images, `(n, channels, height, width)` uint8 or floats in [0, 1], as float32 in a memory format."""
    floats = images.float().div_(255) if images.dtype == torch.uint8 else images.float()
    return floats.contiguous(memory_format=layout)
