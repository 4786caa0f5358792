"""CIFAR-10 in its binary version: plain, .gz or .xz batches, or the archive as published.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infoplane.data.files import archive_members, find_folder, required_file, wrong_content
from infoplane.data.images import ImageSet, fragment_note
from infoplane.data.published import PUBLISHED, check_content, read_published
from infoplane.data.remembered import signature

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_FOLDER = "cifar-10-batches-bin"
ARCHIVE_BYTES = 190_000_000  # more than the published archive unpacks to
FOLDERS = ("", ARCHIVE_FOLDER, "cifar10", f"cifar10/{ARCHIVE_FOLDER}")
FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}
PUBLISHED_IMAGES = {"train": 50_000, "test": 10_000}
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
        UserError: a batch is missing, damaged or not the published one.
    """
    if location.is_dir():
        for name in names:
            path = required_file(location, name, "cifar10")
            yield name, path, read_published(path, "cifar10", name)
    else:
        before = signature(location)
        for name, content in archived_batches(location, names):
            check_content(content, "cifar10", name, location, before)
            yield name, location, content


def archived_batches(archive: Path, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Give (name, content) of the named batches in the published archive, in its order, not compared with anything.

    Raises:
        UserError: the archive is damaged, or lacks a batch.
    """
    sizes = {f"{ARCHIVE_FOLDER}/{name}": PUBLISHED["cifar10"][name].size for name in names}
    for member, content in archive_members(archive, sizes, "cifar10", ARCHIVE_BYTES):
        yield member.rpartition("/")[2], content


def read_cifar10(location: Path, split: str) -> ImageSet:
    """Read one split, `(n, 3, 32, 32)`, from a folder of batches or from the published archive.

    Raises:
        UserError: a batch is missing, damaged or not the published one.
    """
    names = FILES[split]
    batches = {name: _read_batch(path, name, content) for name, path, content in cifar10_contents(location, names)}
    images = torch.cat([batches[name][0] for name in names])
    note = fragment_note(len(images), PUBLISHED_IMAGES[split], split, location)
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
        raise wrong_content(path, problem, "cifar10")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    labels = records[:, 0]
    if labels.max() > 9:
        record = int((labels > 9).argmax())
        problem += f"holds label {labels[record]} in record {record}; classes are 0..9"
        raise wrong_content(path, problem, "cifar10")
    images = records[:, 1:].copy().reshape(-1, 3, 32, 32)
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
