"""Comparing the copy of a data set that is there with what was published."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infoplane.data.cifar10 import archived_batches
from infoplane.data.files import DamagedFileError, read_content, required_file, search_roots
from infoplane.data.load import READERS, load_split
from infoplane.data.published import PUBLISHED, is_published
from infoplane.errors import UserError

AS_PUBLISHED = "as published"
DIFFERS = "present, but not {dataset}'s"


class FileCheck(NamedTuple):
    """What was found out about one file."""

    file: str
    ok: bool
    message: str
    path: Path | None = None  # None where the file is not there
    damaged: bool = False  # whether it cannot be decoded


def verify(name: str, folder: Path | None = None) -> list[FileCheck]:
    """Read the copy of a data set that `load_split` would read, and compare every file with the published one.

    Args:
        name: "digits", or a data set that can be downloaded.
        folder: look below this folder only; by default below `INFOPLANE_DATA` and the user's cache.

    Returns:
        One entry per file, or one per split that is not there. A fragment whose images and labels
        belong together is usable, so its files are ok; their message says what is missing.

    Raises:
        UserError: the data set is not one of these.
    """
    if name == "digits":
        return [FileCheck(load_split("digits", "test").source, True, "comes with scikit-learn")]
    if name not in READERS:
        raise UserError(f"unknown data set {name!r}; choose one of digits, {', '.join(READERS)}")
    roots = search_roots() if folder is None else [folder]
    return [check for split in READERS[name].files for check in _verify_split(name, split, roots)]


def _verify_split(name: str, split: str, roots: list[Path]) -> list[FileCheck]:
    reader = READERS[name]
    location = next(filter(None, (reader.locate(root, split) for root in roots)), None)
    if location is None:
        names = ", ".join(reader.files[split])
        return [FileCheck(names, False, f"not found in {', '.join(str(root) for root in roots)}")]
    checks = list(_compare_all(name, location, reader.files[split]))
    if not all(check.ok for check in checks):
        try:
            note = reader.read(location, split).note
        except UserError:
            return checks
        if note:
            return [check._replace(ok=True, message=f"a fragment: {note}") for check in checks]
    return checks


def _compare_all(name: str, location: Path, files: tuple[str, ...]) -> Iterator[FileCheck]:
    if location.is_dir():
        for file in files:
            yield check_file(required_file(location, file, name), name, file)
    else:
        try:
            for file, content in archived_batches(location, files):
                yield _compare(f"{location}: {file}", content, name, file, location)
        except UserError as error:
            yield _failed(location, error)


def check_file(path: Path, dataset: str, name: str) -> FileCheck:
    """Compare one file, plain, .gz or .xz, with the file `name` that `dataset` publishes."""
    try:
        content = read_content(path, dataset, PUBLISHED[dataset][name].size)
    except UserError as error:
        return _failed(path, error)
    return _compare(str(path), content, dataset, name, path)


def _failed(path: Path, error: UserError) -> FileCheck:
    return FileCheck(str(path), False, str(error), path, isinstance(error, DamagedFileError))


def _compare(shown: str, content: bytes, dataset: str, name: str, path: Path) -> FileCheck:
    same = is_published(content, dataset, name)
    return FileCheck(shown, same, AS_PUBLISHED if same else DIFFERS.format(dataset=dataset), path)
