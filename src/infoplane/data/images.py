"""Image sets with labels: the type `ImageSet`, conversion to floats, resizing and stratified subsets."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from infoplane.checks import check_at_least
from infoplane.errors import UserError
from infoplane.records.short_repr import with_short_repr

LARGEST_SET = 16 << 30  # largest size in bytes of a user's own split; a broken file can claim any number
_RESIZE_CHUNK = 1000  # images converted to floats at a time: 5,000 of STL-10 at once would take gigabytes


@with_short_repr
@dataclass(frozen=True, eq=False)  # tensors have no single truth value, so == would fail
class ImageSet:
    """One split of a dataset, as it was stored.

    Args:
        images: `(n, channels, height, width)`, uint8.
        labels: `(n,)`, int64, each an index into `class_names`.
        class_names: one name per class.
        split: "train" or "test".
        name: name of the dataset.
        complete: whether these are all images that were published for this split.
        note: a sentence for the user, e.g. about missing images; empty if there is nothing to say.
        source: the file or folder that the images came from, for messages.

    Raises:
        UserError: a tensor is not as described above; the message names `source`.
    """

    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    split: str
    name: str
    complete: bool = True
    note: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        where = self.source or f"{self.name} ({self.split})"
        if self.images.ndim != 4 or 0 in self.images.shape[1:] or self.images.dtype != torch.uint8:
            found = f"{tuple(self.images.shape)}, {self.images.dtype}"
            raise UserError(f"{where}: images must be (n, channels, height, width) in uint8, got {found}")
        if self.labels.ndim != 1 or self.labels.dtype != torch.int64:
            found = f"{tuple(self.labels.shape)}, {self.labels.dtype}"
            raise UserError(f"{where}: labels must be (n,) in int64, got {found}")
        if len(self.images) != len(self.labels):
            counts = f"{len(self.images)} images but {len(self.labels)} labels"
            raise UserError(f"{where}: {counts}; fetch or export both again, together")
        if not len(self.images):
            raise UserError(f"{where}: holds no images; give a {self.split} split with at least one")
        lowest, highest = (int(value) for value in self.labels.aminmax())
        if lowest < 0 or highest >= len(self.class_names):
            found = f"found {lowest} to {highest}"
            raise UserError(f"{where}: labels must lie in 0..{len(self.class_names) - 1}, {found}")

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, indices: Tensor) -> "ImageSet":
        """Return the images at `indices`, `(m,)` integers, in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])


def fragment_note(found: int, published: int, split: str, source: Path) -> str:
    """Return a note for the user if a split is incomplete, else an empty string."""
    return "" if found == published else f"{found:,} of {published:,} {split} images are in {source}"


def check_room(where: str, number: int, shape: Sequence[int]) -> None:
    """Refuse `number` images of `shape` if they would take more memory than `LARGEST_SET`.

    Raises:
        UserError: they would take more; the message names `where`.
    """
    size = number * math.prod(shape)
    if size > LARGEST_SET:
        raise UserError(
            f"{where}: {number} images of {' x '.join(map(str, shape))} take {size / 2**30:.0f} GiB, more than "
            f"{LARGEST_SET >> 30}; choose a smaller --data.image-size, or fewer images"
        )


def as_floats(images: Tensor, *, device: torch.device | str | None = None) -> Tensor:
    """Return uint8 images as float32 in [0, 1], on `device`; by default on their own device.

    Raises:
        ValueError: `images` are not uint8.
    """
    if images.dtype != torch.uint8:
        raise ValueError(f"images must be uint8, got {images.dtype}")
    # Move first: bytes are a quarter of the traffic of floats.
    return images.to(device=device or images.device).float().div_(255)


def resize_images(images: Tensor, image_size: int) -> Tensor:
    """Return `(n, channels, height, width)` images, uint8 or floats in [0, 255], as uint8 squares of `image_size`.

    Bilinear, pixel centres kept (`align_corners=False`), antialiased where the image shrinks.

    Raises:
        ValueError: `image_size` is below 1.
    """
    check_at_least(image_size, 1, name="image_size")
    size = (image_size, image_size)
    if images.dtype == torch.uint8 and images.shape[2:] == size:
        return images
    resized = torch.empty((*images.shape[:2], *size), dtype=torch.uint8)
    for start in range(0, len(images), _RESIZE_CHUNK):
        floats = images[start : start + _RESIZE_CHUNK].float()
        scaled = F.interpolate(floats, size=size, mode="bilinear", align_corners=False, antialias=True)
        resized[start : start + _RESIZE_CHUNK] = scaled.round_().clamp_(0, 255).to(torch.uint8)
    return resized


def stratified_indices(labels: Tensor, number: int, *, generator: torch.Generator) -> Tensor:
    """Draw `number` examples without replacement, each class in proportion to its frequency.

    Shares are rounded by largest remainder; ties are broken at random. Every class keeps at least one example if
    `number` allows one for each.

    Args:
        labels: `(n,)`, integers.
        number: how many to draw, at least 1; all are taken where it reaches n.
        generator: on the CPU; draws the examples of each class and breaks ties.

    Returns:
        `(min(number, n),)`, int64, ascending, on the CPU.

    Raises:
        ValueError: `number` is below 1, or `labels` has more than one dimension.
    """
    check_at_least(number, 1, name="number")
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape (n,), got {tuple(labels.shape)}")
    if number >= len(labels):
        return torch.arange(len(labels))
    labels = labels.cpu()
    classes, counts = (torch.from_numpy(array) for array in np.unique(labels.numpy(), return_counts=True))
    shares = number * counts  # in units of 1 / n of an example: integers, so there is no rounding error
    taken, remainders = shares // len(labels), shares % len(labels)
    lot = torch.randperm(len(classes), generator=generator)
    by_remainder = lot[remainders[lot].argsort(descending=True, stable=True)]
    taken[by_remainder[: number - int(taken.sum())]] += 1
    if number >= len(classes):
        for empty in (taken == 0).nonzero().flatten().tolist():
            taken[taken.argmax()] -= 1
            taken[empty] = 1
    chosen = []
    for label, size in zip(classes, taken.tolist(), strict=True):
        members = (labels == label).nonzero().flatten()
        chosen.append(members[torch.randperm(len(members), generator=generator)[:size]])
    return torch.cat(chosen).sort().values
