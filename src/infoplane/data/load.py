"""One way to every data set, by name."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from infoplane.checks import check_at_least
from infoplane.data import cifar10, idx, stl10
from infoplane.data.digits import load_digits_split
from infoplane.data.files import find_file, search_roots
from infoplane.data.folder import SPLITS, read_folder
from infoplane.data.images import ImageSet, resize_images
from infoplane.data.own import read_function, read_npz
from infoplane.errors import UserError


class Reader(NamedTuple):
    """How one published data set is found below a root and read."""

    locate: Callable[[Path, str], Path | None]
    read: Callable[[Path, str], ImageSet]
    folders: tuple[str, ...]
    files: Mapping[str, tuple[str, ...]]


READERS = {
    **{each.name: Reader(each.locate, each.read, each.folders, idx.FILES) for each in (idx.MNIST, idx.FASHION_MNIST)},
    "cifar10": Reader(cifar10.locate_cifar10, cifar10.read_cifar10, cifar10.FOLDERS, cifar10.FILES),
    "stl10": Reader(stl10.locate_stl10, stl10.read_stl10, stl10.FOLDERS, stl10.FILES),
}
OWN = ("folder", "npz", "function")
NAMES = ("digits", *READERS, *OWN)


def load_split(
    name: str, split: str, *, root: Path | str | None = None, image_size: int | None = None, seed: int = 0
) -> ImageSet:
    """Return one split of a data set as bytes, in the order in which it was published.

    Args:
        name: one of `NAMES`.
        split: "train" or "test".
        root: where to look first, before `INFOPLANE_DATA` and the user's cache; for "folder" the folder itself, for
            "npz" the file, and for "function" "package.module:function" (see `own.read_function`).
        image_size: pixels of a side after bilinear, antialiased scaling; by default 28 for digits, else as stored.
        seed: decides how digits, which come in one piece, are split, and what a function of the user's draws.

    Raises:
        ValueError: `image_size` is below 1.
        UserError: an unknown name or split, or data that is missing or damaged.
    """
    if name not in NAMES:
        raise UserError(f"unknown data set {name!r}; choose one of {', '.join(NAMES)}")
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if image_size is not None:
        check_at_least(image_size, 1, name="image_size")
    if name in OWN and root is None:
        raise UserError(f"the data set {name!r} is your own; name it with --data")
    if name == "function":
        return read_function(str(root), split, image_size=image_size, seed=seed)
    root = None if root is None else Path(root)
    if name == "npz":
        assert root is not None
        return read_npz(root, split, image_size=image_size)
    if root is not None and not root.is_dir():
        raise UserError(f"{root} is no folder; name the folder that holds the data")
    if name == "digits":
        return load_digits_split(split, image_size=28 if image_size is None else image_size, seed=seed)
    if name == "folder":
        assert root is not None
        return read_folder(root, split, image_size=image_size)
    image_set = READERS[name].read(_locate(name, split, search_roots(root)), split)
    if image_size is None:
        return image_set
    return replace(image_set, images=resize_images(image_set.images, image_size))


def _locate(name: str, split: str, roots: list[Path]) -> Path:
    reader = READERS[name]
    for root in roots:
        if location := reader.locate(root, split):
            return location
    problem = f"{name} ({split}) was not found in {', '.join(str(root) for root in roots)}"
    if partial := [sentence for root in roots for sentence in _partial_copies(reader, split, root)]:
        problem += f"; {'; '.join(partial)}"
    if name == "cifar10" and (pickles := next(filter(None, map(cifar10.find_pickles, roots)), None)):
        problem += f"; {pickles} is pickled, and pickles are never loaded, as they can run code"
    raise UserError(f"{problem}; run: infoplane data {name}")


def _partial_copies(reader: Reader, split: str, root: Path) -> list[str]:
    """Name each folder that holds some files of the data set, and what of the split it lacks."""
    sentences = []
    every_file = [name for names in reader.files.values() for name in names]
    for folder in (root / name for name in reader.folders):
        if any(find_file(folder, name) for name in every_file):
            lacking = [name for name in reader.files[split] if not find_file(folder, name)]
            sentences.append(f"{folder} holds no {', '.join(lacking)}")
    return sentences
