"""Check that a file on disk is the one that a dataset publishes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from infoplane.data import catalogue
from infoplane.data.files import archive_members, differs, read_content, required_file
from infoplane.data.remembered import is_remembered, remember, signature
from infoplane.data.spec import DatasetSpec


def is_published(content: bytes, spec: DatasetSpec, name: str) -> bool:
    """Whether `content`, decompressed, is the file `name` that a dataset publishes."""
    size, checksum = spec.published.by_name[name]
    algorithm, _, expected = checksum.partition(":")
    if len(content) != size:
        return False
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() == expected


def read_published(path: Path, spec: DatasetSpec, name: str) -> bytes:
    """Return the decompressed content of the file `name` of a dataset after checking its published checksum.

    Raises:
        UserError: the file cannot be read, is damaged, is longer than the published one, or differs from it. A
            shorter file is returned: its reader says that it is a fragment.
    """
    before = signature(path)
    content = read_content(path, spec.name, spec.published.by_name[name].size)
    check_content(content, spec, name, path, before)
    return content


def check_content(content: bytes, spec: DatasetSpec, name: str, path: Path, before: tuple[int, ...]) -> None:
    """Refuse content of the published size that differs from the published file.

    The checksum of a file that did not change since it was last compared is not computed again.

    Args:
        content: decompressed.
        spec: the dataset.
        name: name of the file in the dataset's publication.
        path: path of the file, or of the archive that contains it.
        before: `signature(path)`, taken before the file was read.

    Raises:
        UserError: the content differs from the published file.
    """
    if len(content) < spec.published.by_name[name].size or is_remembered(spec.name, name, path, before):
        return
    if not is_published(content, spec, name):
        owner = next((other.name for other in catalogue.DATASETS if _publishes(other, content)), None)
        raise differs(path, spec.name, name, owner)
    remember(spec.name, name, path, before)


def _publishes(spec: DatasetSpec, content: bytes) -> bool:
    names = spec.publication.by_name if spec.publication else ()
    return any(is_published(content, spec, name) for name in names)


def published_contents(location: Path, spec: DatasetSpec, names: tuple[str, ...]) -> Iterator[tuple[str, Path, bytes]]:
    """Yield (name, path, content) of the named files of a dataset; files of an archive come in its order.

    Args:
        location: a folder that holds the files, plain, .gz or .xz, or else the published archive.
        spec: the dataset.
        names: names of the files.

    Raises:
        UserError: a file is missing, damaged or not the published one.
    """
    if location.is_dir():
        for name in names:
            path = required_file(location, name, spec.name)
            yield name, path, read_published(path, spec, name)
    else:
        before = signature(location)
        for name, content in archived_contents(location, spec, names):
            check_content(content, spec, name, location, before)
            yield name, location, content


def archived_contents(path: Path, spec: DatasetSpec, names: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield (name, content) of the named files in the published archive, in its order, without checking them.

    Raises:
        UserError: the archive is damaged, or lacks a file.
    """
    archive = spec.published.archive
    assert archive is not None
    sizes = {f"{archive.folder}/{name}": spec.published.by_name[name].size for name in names}
    for member, content in archive_members(path, sizes, spec.name, archive.largest):
        yield member.rpartition("/")[2], content
