"""`Normalise`, the first layer of every network here, so that attacks and probes work on pixels in [0, 1]."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from infoplane.checks import check_at_least


class Normalise(nn.Module):
    """Check the shape of a batch of images, then subtract `mean` and divide by `std`, per channel.

    Args:
        channels: number of image channels.
        image_size: height of the images in pixels, and their width if `width` is None.
        mean: one number, or one per channel, in pixel units of [0, 1].
        std: one positive number, or one per channel, in pixel units of [0, 1].
        width: of the images in pixels; None if they are square.

    Raises:
        ValueError: an argument is outside the description above; in `forward`, the batch has another shape.
    """

    mean: Tensor  # (channels, 1, 1)
    std: Tensor  # (channels, 1, 1)

    def __init__(
        self,
        channels: int,
        image_size: int,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        *,
        width: int | None = None,
    ) -> None:
        super().__init__()
        check_at_least(channels, 1, name="channels")
        self.channels = channels
        self.image_size = image_size
        self.width = image_size if width is None else width
        # Buffers, so that a checkpoint contains the normalisation with which its weights were trained.
        self.register_buffer("mean", _per_channel(mean, channels, name="mean"))
        self.register_buffer("std", _per_channel(std, channels, name="std"))
        if not (self.std > 0).all():
            raise ValueError(f"std must be positive, got {std}")
        self._note_identity()

    def _note_identity(self) -> None:
        # once, not in each pass: reading a value makes a GPU wait
        self._is_identity = bool((self.mean == 0).all() and (self.std == 1).all())

    def _load_from_state_dict(self, *args: Any, **named: Any) -> None:
        super()._load_from_state_dict(*args, **named)
        self._note_identity()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.channels, self.image_size, self.width

    @property
    def divides_pixels_by(self) -> Tensor | None:
        """The divisor in `forward`, `(channels, 1, 1)`, for the gradients of attacks; None if nothing is changed."""
        return None if self._is_identity else self.std

    def forward(self, images: Tensor) -> Tensor:
        """Return the normalised images, `(batch, channels, image_size, width)` like the argument."""
        if tuple(images.shape[1:]) != self.shape:
            expected = ", ".join(map(str, self.shape))
            raise ValueError(f"this network takes images of shape (batch, {expected}), got {tuple(images.shape)}")
        return images if self._is_identity else (images - self.mean) / self.std

    def extra_repr(self) -> str:
        """Return what `print(model)` shows of this layer."""
        return f"mean={self.mean.flatten().tolist()}, std={self.std.flatten().tolist()}"


def _per_channel(value: float | Sequence[float], channels: int, *, name: str) -> Tensor:
    numbers = [float(number) for number in value] if isinstance(value, Sequence) else [float(value)] * channels
    if len(numbers) != channels or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name} must be one finite number or {channels}, one per channel, got {value}")
    return torch.tensor(numbers).view(channels, 1, 1)
