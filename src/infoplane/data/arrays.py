"""Convert a user's own arrays or pairs to an `ImageSet`; ambiguous input is refused."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from infoplane.data.images import ImageSet, check_room
from infoplane.data.pictures import checked_mode, square
from infoplane.errors import UserError
from infoplane.text import one_line

ROUNDED = "pixels were rounded to 8 bits"
_CHANNELS = (1, 3)
_MOST_CLASSES = 100_000
_CHUNK = 1000  # number of images converted at a time
_LOSSLESS = 1e-3  # tolerance in steps of 1/255: float16 and arithmetic change an 8-bit pixel by less


class Part(NamedTuple):
    """One split as the user gave it."""

    images: np.ndarray  # (n, height, width, channels) uint8
    labels: np.ndarray  # (n,) int64
    class_names: tuple[str, ...] | None
    rounded: bool  # whether pixels were rounded to multiples of 1/255


def as_array(value: Any, where: str) -> np.ndarray:
    """Return an array, a tensor or a list of numbers as a numpy array.

    Raises:
        UserError: the value is none of these.
    """
    if isinstance(value, list) and all(isinstance(one, int | np.integer) for one in value):
        return np.array(value)
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
    if not isinstance(value, np.ndarray):
        raise UserError(f"{where} is a {type(value).__name__}; give a numpy array or a torch tensor")
    return value


def part_of_arrays(
    images: Any, labels: Any, class_names: Sequence[Any] | None, where: str, image_size: int | None
) -> Part:
    """Convert images, `(n, height, width)` or with 1 or 3 channels first or last, and their labels to a `Part`.

    Args:
        images: uint8, or floats in [0, 1]; an array or a tensor.
        labels: `(n,)` or `(n, 1)`, integers of any type.
        class_names: one per class, or None.
        where: source of the arrays, for messages.
        image_size: the shorter side is scaled to this, and the middle square is cut out.

    Raises:
        UserError: the arrays are not as described, or are ambiguous.
    """
    pixels = _channels_last(as_array(images, f"{where}: images"), where, batch=True)
    height, width, channels = pixels.shape[1:] if image_size is None else (image_size, image_size, pixels.shape[3])
    check_room(where, len(pixels), (channels, height, width))
    content, rounded = np.empty((len(pixels), height, width, channels), np.uint8), False
    for start in range(0, len(pixels), _CHUNK):
        chunk, lossy = _as_bytes(pixels[start : start + _CHUNK], where)
        rounded |= lossy
        content[start : start + _CHUNK] = chunk if image_size is None else [_resized(one, image_size) for one in chunk]
    _refuse_zeros_and_ones(content, pixels.dtype == np.uint8, where)
    return Part(content, _labels(as_array(labels, f"{where}: labels"), where), _names(class_names, where), rounded)


def part_of_pairs(
    pairs: Sequence[tuple[Any, Any]], class_names: Sequence[Any] | None, where: str, image_size: int | None
) -> Part:
    """Convert pairs of an image (array, tensor or Pillow image) and its label; otherwise like `part_of_arrays`."""
    images, rounded, bytes_only = [], False, True
    for index, (image, _) in enumerate(pairs):
        place = f"{where}: image {index}"
        pixels = _of_pillow(image, place) if hasattr(image, "convert") else as_array(image, place)
        content, lossy = _as_bytes(_channels_last(pixels, place, batch=False), place)
        rounded |= lossy
        bytes_only &= pixels.dtype == np.uint8 and not hasattr(image, "convert")
        images.append(content if image_size is None else _resized(content, image_size))
        if index and images[-1].shape[:2] != images[0].shape[:2]:
            sizes = " but ".join(f"{number} is {one.shape[1]}x{one.shape[0]}" for number, one in _ends(images))
            raise UserError(f"{where}: images differ in size: {sizes}; choose one with --data.image-size")
        check_room(where, len(pairs), images[0].shape)
    if not images:
        raise UserError(f"{where}: holds no images")
    channels = max(one.shape[2] for one in images)
    stacked = np.stack([one if one.shape[2] == channels else one.repeat(channels, axis=2) for one in images])
    _refuse_zeros_and_ones(stacked, bytes_only, where)
    labels = [label.item() if isinstance(label, Tensor | np.generic | np.ndarray) else label for _, label in pairs]
    if odd := next((label for label in labels if not isinstance(label, int) or isinstance(label, bool)), None):
        raise UserError(f"{where}: labels must be integers, found {odd!r}"[:300])
    return Part(stacked, _labels(np.array(labels), where), _names(class_names, where), rounded)


def labels_alone(labels: np.ndarray) -> Part:
    """Return a split that has labels but no images, to count classes."""
    whole = labels.reshape(-1) if np.issubdtype(labels.dtype, np.integer) else np.zeros(0, np.int64)
    return Part(np.zeros((0, 1, 1, 1), np.uint8), whole.astype(np.int64), None, False)


def _ends(images: list[np.ndarray]) -> list[tuple[int, np.ndarray]]:
    return [(0, images[0]), (len(images) - 1, images[-1])]


def image_set(part: Part, split: str, name: str, source: str, others: Sequence[Part] = ()) -> ImageSet:
    """Return the `ImageSet` of a split.

    Args:
        part: the split.
        split: "train" or "test".
        name: name of the dataset.
        source: where the data come from, for messages.
        others: other splits that were read too. Without class names, the largest label of all splits decides the
            number of classes.

    Raises:
        UserError: labels and images do not belong together, or labels do not count from 0.
    """
    names = part.class_names or next((other.class_names for other in others if other.class_names), None)
    if names is None:
        labels = np.concatenate([one.labels for one in (part, *others)])
        if labels.size and labels.min() > 0:
            raise UserError(
                f"{source}: labels begin at {labels.min()}; count classes from 0, or give the names of all classes"
            )
        if (largest := int(labels.max(initial=-1))) >= _MOST_CLASSES:
            raise UserError(f"{source}: the largest label is {largest}; labels must be numbers of classes")
        names = tuple(map(str, range(largest + 1)))
    return ImageSet(
        images=torch.from_numpy(np.ascontiguousarray(part.images.transpose(0, 3, 1, 2))),
        labels=torch.from_numpy(part.labels),
        class_names=names,
        split=split,
        name=name,
        note=f"{source}: {ROUNDED}" if part.rounded else "",
        source=source,
    )


def _channels_last(array: np.ndarray, where: str, *, batch: bool) -> np.ndarray:
    shape = array.shape[batch:]
    if len(shape) == 2:
        return array[..., None]
    expected = "(height, width), with 1 or 3 channels before or after, or none"
    if len(shape) != 3 or 0 in shape:
        raise UserError(f"{where}: the shape of an image must be {expected}, found {shape}")
    first, last = shape[0] in _CHANNELS, shape[2] in _CHANNELS
    if first and last:
        raise UserError(
            f"{where}: in the shape {shape} either end could be the channels; give (height, width), or images of more "
            "than 3 pixels a side"
        )
    if not first and not last:
        raise UserError(f"{where}: the shape of an image must be {expected}, found {shape}")
    return np.moveaxis(array, batch, -1) if first else array


def _as_bytes(pixels: np.ndarray, where: str) -> tuple[np.ndarray, bool]:
    if pixels.dtype == np.uint8:
        return pixels, False
    if not np.issubdtype(pixels.dtype, np.floating):
        raise UserError(
            f"{where}: pixels must be uint8, or floats in [0, 1], found {pixels.dtype}; convert them, so that it is "
            "clear what is black and what is white"
        )
    if not pixels.size:
        return pixels.astype(np.uint8), False
    lowest, highest = float(pixels.min()), float(pixels.max())
    if not (lowest >= 0 and highest <= 1):  # written so that NaN fails too: comparisons with NaN are false
        raise UserError(
            f"{where}: pixels that are floats must lie in [0, 1], found {lowest:.4g} to {highest:.4g}; leave "
            "normalisation to the model, and divide bytes by 255"
        )
    steps = pixels.astype(np.float64) * 255
    rounded = np.rint(steps)
    # half precision keeps 11 bits: a pixel of 8 bits comes back within 1/16 of a step
    allowed = 0.13 if pixels.dtype.itemsize < 4 else _LOSSLESS
    return rounded.astype(np.uint8), bool(np.abs(steps - rounded).max() > allowed)


def _refuse_zeros_and_ones(content: np.ndarray, of_bytes: bool, where: str) -> None:
    if of_bytes and content.size and content.max() <= 1:
        raise UserError(
            f"{where}: all pixels are 0 or 1 in uint8, where white is 255; multiply them by 255, or give floats"
        )


def _of_pillow(image: Any, where: str) -> np.ndarray:
    grey = checked_mode(image.mode, where)
    opaque = image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
    return np.asarray(opaque.convert("L" if grey else "RGB"))


def _resized(pixels: np.ndarray, image_size: int) -> np.ndarray:
    from PIL import Image

    grey = pixels.shape[2] == 1
    resized = np.asarray(square(Image.fromarray(pixels[..., 0] if grey else np.ascontiguousarray(pixels)), image_size))
    return resized[..., None] if grey else resized


def _labels(labels: np.ndarray, where: str) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise UserError(f"{where}: labels must have the shape (n,), found {labels.shape}; give one class per image")
    if not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"{where}: labels must be integers, found {labels.dtype}")
    if labels.size and labels.max() > np.iinfo(np.int64).max:
        raise UserError(f"{where}: labels must be numbers of classes, found {labels.max()}")
    if labels.size and labels.min() < 0:
        raise UserError(f"{where}: labels must not be negative, found {labels.min()}")
    return labels.astype(np.int64)


def _names(names: Sequence[Any] | None, where: str) -> tuple[str, ...] | None:
    if names is None:
        return None
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: class names must be a list of strings")
    shown = tuple(one_line(str(name)) for name in names)
    if len(set(shown)) < len(shown):
        raise UserError(f"{where}: class names must differ from each other")
    return shown
