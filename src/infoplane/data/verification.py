"""Verify the copy of a dataset on disk against the published checksums."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infoplane.data.catalogue import shipped_dataset
from infoplane.data.files import DamagedFileError, read_content, required_file, search_roots
from infoplane.data.load import load_split
from infoplane.data.published import archived_contents, is_published
from infoplane.data.spec import DatasetSpec, Wanted
from infoplane.errors import UserError
from infoplane.text import with_field_help

AS_PUBLISHED = "as published"
DIFFERS = "present, but not {dataset}'s"


@with_field_help
class FileCheck(NamedTuple):
    """What was found out about one file.

    Attributes:
        file: its name.
        ok: whether it is as it was published.
        message: what was found, in a sentence.
        path: where it is; None where it is not there.
        damaged: whether it cannot be decoded.
    """

    file: str
    ok: bool
    message: str
    path: Path | None = None
    damaged: bool = False


def verify(name: str, folder: Path | None = None) -> list[FileCheck]:
    """Read the copy of a dataset that `load_split` would read, and compare every file with the published one.

    Args:
        name: a published dataset.
        folder: search this folder only; by default `INFOPLANE_DATA` and the user's cache.

    Returns:
        One entry per file, or one per missing split. An incomplete file whose images and labels match is usable, so it
        is ok; its message says what is missing.

    Raises:
        UserError: the name is not that of a published dataset.
    """
    spec = shipped_dataset(name)
    if spec.publication is None:
        return [FileCheck(load_split(name, "test").source, True, f"comes with {spec.comes_with}")]
    roots = search_roots() if folder is None else [folder]
    return [check for split in spec.publication.files for check in _verify_split(spec, split, roots)]


def _verify_split(spec: DatasetSpec, split: str, roots: list[Path]) -> list[FileCheck]:
    names = tuple(spec.published.files[split])
    location = next(filter(None, (spec.published.locate(root, split) for root in roots)), None)
    if location is None:
        return [FileCheck(", ".join(names), False, f"not found in {', '.join(str(root) for root in roots)}")]
    checks = list(_compare_all(spec, location, names))
    if not all(check.ok for check in checks):
        try:
            note = spec.read(spec, Wanted(split, str(location))).note
        except UserError:
            return checks
        if note:
            return [check._replace(ok=True, message=f"a fragment: {note}") for check in checks]
    return checks


def _compare_all(spec: DatasetSpec, location: Path, files: tuple[str, ...]) -> Iterator[FileCheck]:
    if location.is_dir():
        for file in files:
            yield check_file(required_file(location, file, spec.name), spec, file)
    else:
        try:
            for file, content in archived_contents(location, spec, files):
                yield _compare(f"{location}: {file}", content, spec, file, location)
        except UserError as error:
            yield _failed(location, error)


def check_file(path: Path, spec: DatasetSpec, name: str) -> FileCheck:
    """Compare one file, plain, .gz or .xz, with the file `name` that a dataset publishes."""
    try:
        content = read_content(path, spec.name, spec.published.by_name[name].size)
    except UserError as error:
        return _failed(path, error)
    return _compare(str(path), content, spec, name, path)


def _failed(path: Path, error: UserError) -> FileCheck:
    return FileCheck(str(path), False, str(error), path, isinstance(error, DamagedFileError))


def _compare(shown: str, content: bytes, spec: DatasetSpec, name: str, path: Path) -> FileCheck:
    same = is_published(content, spec, name)
    return FileCheck(shown, same, AS_PUBLISHED if same else DIFFERS.format(dataset=spec.name), path)
