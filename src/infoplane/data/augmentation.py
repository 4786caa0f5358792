"""Augmentation of a whole batch at once, on the batch's device."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from infoplane.checks import check_at_least


@dataclass(frozen=True, kw_only=True)
class CropAndFlip:
    """Pad with zeros, crop to the original size at a random place per image, and mirror half of the images.

    Source: He et al. (2016), Deep Residual Learning for Image Recognition, Section 4.2.
    """

    padding: int = 4  # pixels on each side
    flip: bool = True  # left to right

    def __post_init__(self) -> None:
        check_at_least(self.padding, 0, name="padding")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented copies of `images`, `(n, channels, height, width)`.

        Random numbers are drawn on the device of `generator`, so one on the CPU gives the same crops on every device.

        Raises:
            ValueError: `images` has another number of dimensions.
        """
        if images.ndim != 4:
            raise ValueError(f"images must have shape (n, channels, height, width), got {tuple(images.shape)}")
        number, channels, height, width = images.shape
        offsets = torch.randint(2 * self.padding + 1, (2, number, 1), generator=generator, device=generator.device).to(
            images.device
        )
        rows = offsets[0] + torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        if self.flip:
            mirrored = torch.randint(2, (number, 1), generator=generator, device=generator.device)
            columns = torch.where(mirrored.to(images.device).bool(), columns.flip(0), columns)
        columns = columns + offsets[1]
        # One index into the padded plane per pixel, (n, 1, height * width), so that one gather does all channels.
        places = (rows[:, :, None] * (width + 2 * self.padding) + columns[:, None, :]).flatten(1).unsqueeze(1)
        padded = F.pad(images, (self.padding,) * 4).flatten(2)
        return padded.gather(2, places.expand(-1, channels, -1)).view(images.shape)
