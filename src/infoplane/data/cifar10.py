"""CIFAR-10 in its binary version: plain, .gz or .xz batches, or the archive as published.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infoplane.data.files import archive_members, damaged, find_folder, read_content, required_file
from infoplane.data.images import ImageSet, fragment_note

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_FOLDER = "cifar-10-batches-bin"
FOLDERS = ("", ARCHIVE_FOLDER, "cifar10", f"cifar10/{ARCHIVE_FOLDER}")
FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
PUBLISHED = {"train": 50_000, "test": 10_000}
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_RECORD_BYTES = 1 + 3 * 32 * 32  # label, then the red, green and blue plane, each row by row


def locate_cifar10(root: Path, split: str) -> Path | None:
    """Return the folder with the batches of the split, or else the archive, at or below `root`; or None."""
    if folder := find_folder(root, FOLDERS, FILES[split]):
        return folder
    archives = (root / ARCHIVE, root / "cifar10" / ARCHIVE)
    return next((path for path in archives if path.is_file()), None)


def find_pickles(root: Path) -> Path | None:
    """Return torchvision's copy of CIFAR-10 at or below `root`, which is pickled, or None."""
    names = ("cifar-10-batches-py", "cifar-10-python.tar.gz")
    candidates = (root / folder / name for folder in ("", "cifar10") for name in names)
    return next((path for path in candidates if path.exists()), None)


def cifar10_contents(location: Path, names: tuple[str, ...]) -> Iterator[tuple[str, Path, bytes]]:
    """Give (name, the file it is in, content) of the named batches; from an archive, in the archive's order.

    Raises:
        UserError: a batch is missing, or its file is damaged.
    """
    if location.is_dir():
        for name in names:
            path = required_file(location, name, "cifar10")
            yield name, path, read_content(path, "cifar10")
    else:
        paths = [f"{ARCHIVE_FOLDER}/{name}" for name in names]
        for member, file in archive_members(location, paths, "cifar10"):
            yield member.rpartition("/")[2], location, file.read()


def read_cifar10(location: Path, split: str) -> ImageSet:
    """Read one split, `(n, 3, 32, 32)`, from a folder of batches or from the published archive.

    Raises:
        UserError: a batch is missing or damaged.
    """
    names = FILES[split]
    batches = {name: _read_batch(path, name, content) for name, path, content in cifar10_contents(location, names)}
    images = torch.cat([batches[name][0] for name in names])
    note = fragment_note(len(images), PUBLISHED[split], split, location)
    return ImageSet(
        images=images,
        labels=torch.cat([batches[name][1] for name in names]),
        class_names=CLASS_NAMES,
        split=split,
        name="cifar10",
        complete=not note,
        note=note,
        source=str(location),
    )


def _read_batch(path: Path, name: str, content: bytes) -> tuple[Tensor, Tensor]:
    problem = "" if path.name.startswith(name) else f"{name} in it "
    if not content or len(content) % _RECORD_BYTES:
        problem += f"has {len(content)} bytes, not a whole number of records of {_RECORD_BYTES} bytes"
        raise damaged(path, problem, "cifar10")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    labels = records[:, 0]
    if labels.max() > 9:
        record = int((labels > 9).argmax())
        problem += f"holds label {labels[record]} in record {record}; classes are 0..9"
        raise damaged(path, problem, "cifar10")
    images = np.ascontiguousarray(records[:, 1:]).reshape(-1, 3, 32, 32)
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
