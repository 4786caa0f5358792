"""MNIST from its idx files. Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits."""

from pathlib import Path

import numpy as np
import torch

from infoplane.data.files import damaged, find_folder, read_content, required_file
from infoplane.data.images import ImageSet, fragment_note

FOLDERS = ("", "mnist", "MNIST/raw")  # the last is where torchvision keeps them
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
PUBLISHED = {"train": 60_000, "test": 10_000}
CLASS_NAMES = tuple("0123456789")


def locate_mnist(root: Path, split: str) -> Path | None:
    """Return the folder at or below `root` that holds both files of the split, or None."""
    return find_folder(root, FOLDERS, FILES[split])


def read_idx(path: Path, record_shape: tuple[int, ...]) -> np.ndarray:
    """Return the records of an idx file of unsigned bytes, `(n, *record_shape)`, uint8.

    The header is big-endian: 0, 0, 8 for unsigned bytes, the number of dimensions, then each dimension in four
    bytes; the records follow, the last dimension fastest.

    Raises:
        UserError: the file is damaged, or its header names another type or shape.
    """
    content = read_content(path, "mnist")
    dimensions = 1 + len(record_shape)
    magic = 0x0800 + dimensions
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise damaged(path, f"is cut short: {len(content)} bytes, fewer than its header", "mnist")
    found, count, *shape = (int(word) for word in np.frombuffer(content, ">u4", count=1 + dimensions))
    if found != magic:
        raise damaged(path, f"is not such an idx file: magic number {found} instead of {magic}", "mnist")
    if tuple(shape) != record_shape:
        raise damaged(path, f"holds records of shape {tuple(shape)} instead of {record_shape}", "mnist")
    expected = start + count * int(np.prod(record_shape))
    if len(content) != expected:
        raise damaged(path, f"has {len(content)} bytes where its header promises {expected}", "mnist")
    return np.frombuffer(content, np.uint8, offset=start).reshape(count, *record_shape)


def read_mnist(folder: Path, split: str) -> ImageSet:
    """Read one split, `(n, 1, 28, 28)`, from the idx files in `folder`, plain, .gz or .xz.

    Raises:
        UserError: a file is missing or damaged, or images and labels do not belong together.
    """
    images_path, labels_path = (required_file(folder, name, "mnist") for name in FILES[split])
    images, labels = read_idx(images_path, (28, 28)), read_idx(labels_path, ())
    if len(images) != len(labels):
        problem = f"holds {len(labels)} labels for {len(images)} images in {images_path.name}"
        raise damaged(labels_path, problem, "mnist")
    if labels.size and labels.max() > 9:
        raise damaged(labels_path, f"holds label {labels.max()}; digits are 0..9", "mnist")
    note = fragment_note(len(images), PUBLISHED[split], split, images_path)
    return ImageSet(
        images=torch.from_numpy(images.copy()).unsqueeze(1),  # a copy: the bytes that were read are read-only
        labels=torch.from_numpy(labels.astype(np.int64)),
        class_names=CLASS_NAMES,
        split=split,
        name="mnist",
        complete=not note,
        note=note,
        source=str(images_path),
    )
