"""Find and read files of published datasets: plain, .gz, .xz or inside a .tar.gz."""

import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, cast

from infoplane.errors import UserError

_DECODING_ERRORS = (gzip.BadGzipFile, lzma.LZMAError, zlib.error, tarfile.TarError, EOFError)


class DamagedFileError(UserError):
    """A file that cannot be decoded."""


def search_roots(root: Path | None = None) -> list[Path]:
    """Return the folders that are searched for datasets, in order: `root`, `INFOPLANE_DATA`, the user's cache."""
    from platformdirs import user_cache_path

    roots = [] if root is None else [root]
    if named := os.environ.get("INFOPLANE_DATA"):
        roots.append(Path(named).expanduser())
    return [*roots, user_cache_path("infoplane")]


def find_file(folder: Path, name: str) -> Path | None:
    """Return the path of `name` in `folder`, plain, .gz or .xz; None if there is no such file."""
    candidates = (folder / f"{name}{suffix}" for suffix in ("", ".gz", ".xz"))
    return next((path for path in candidates if path.is_file()), None)


def required_file(folder: Path, name: str, dataset: str) -> Path:
    """Return the path that `find_file` finds.

    Raises:
        UserError: there is no such file.
    """
    if path := find_file(folder, name):
        return path
    raise UserError(f"{folder} holds no {name} (nor .gz, .xz); run: infoplane data {dataset}")


def find_folder(root: Path, folders: Iterable[str], names: Iterable[str]) -> Path | None:
    """Return the first of `folders` below `root` that holds every file in `names`; None if there is none."""
    names = tuple(names)
    candidates = (root / folder for folder in folders)
    return next((found for found in candidates if all(find_file(found, name) for name in names)), None)


def wrong_content(path: Path, problem: str, dataset: str) -> UserError:
    """Return the error for a file whose content is not what its dataset publishes."""
    return UserError(f"{path} {problem}; to replace it and keep the old file: infoplane data {dataset} --replace")


def differs(path: Path, dataset: str, name: str, owner: str | None) -> UserError:
    """Return the error for a file of the published size with other content; `owner` is the dataset it belongs to."""
    inside = "" if path.name.startswith(name) else f"{name} in it "
    if owner is None:
        return wrong_content(path, f"{inside}is not the {name} that {dataset} publishes", dataset)
    return UserError(
        f"{path} {inside}is {owner}'s, not {dataset}'s; read it with --data.name {owner}, or to replace it and keep "
        f"the old file: infoplane data {dataset} --replace"
    )


def _damaged(path: Path, error: Exception, dataset: str) -> DamagedFileError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return DamagedFileError(
        f"{path} is cut short or damaged ({reason}); to replace it and keep the old file: infoplane data {dataset}"
    )


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path} cannot be read ({error.strerror or error}); check its permissions")


def read_content(path: Path, dataset: str, limit: int) -> bytes:
    """Return the content of a file, decompressed according to its suffix.

    Args:
        path: path of the file.
        dataset: dataset that the file belongs to, for messages.
        limit: largest allowed size of the content in bytes; no more are decompressed.

    Raises:
        UserError: the file cannot be read, is cut short or damaged, or has more than `limit` bytes.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as unzipped:
                content = unzipped.read(limit + 1)
        elif path.suffix == ".xz":
            with lzma.open(path) as unpacked:
                content = unpacked.read(limit + 1)
        else:
            with path.open("rb") as plain:
                content = plain.read(limit + 1)
    except _DECODING_ERRORS as error:
        raise _damaged(path, error, dataset) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) > limit:
        raise wrong_content(path, f"holds more than the {limit} bytes that {dataset} publishes", dataset)
    return content


class _Bounded:
    """A stream that raises an error after `limit` bytes, against archives that unpack to far more than expected."""

    def __init__(self, stream: gzip.GzipFile, limit: int) -> None:
        self._stream, self._left, self._limit = stream, limit, limit

    def read(self, size: int) -> bytes:
        content = self._stream.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise tarfile.ReadError(f"it unpacks to more than {self._limit} bytes")
        return content


def archive_members(archive: Path, sizes: Mapping[str, int], dataset: str, limit: int) -> Iterator[tuple[str, bytes]]:
    """Yield the content of each file in `sizes` from a .tar.gz, in the archive's order.

    Nothing is written to disk, so paths in the archive are harmless; links are skipped.

    Args:
        archive: path of the archive.
        sizes: largest allowed size in bytes of each file, by its name in the archive.
        dataset: dataset that the archive belongs to, for messages.
        limit: largest allowed size in bytes of the whole unpacked archive.

    Raises:
        UserError: the archive cannot be read, is damaged, is larger than `limit`, or lacks one of the files.
    """
    wanted = set(sizes)
    try:
        with gzip.open(archive) as unzipped:
            stream = _Bounded(unzipped, limit)
            with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r|") as members:
                for member in members:
                    name = str(PurePosixPath(member.name))
                    if name not in wanted or not member.isreg():
                        continue
                    if member.issparse():
                        raise tarfile.ReadError(f"{name} in it is stored with holes")
                    if member.size > sizes[name]:
                        raise tarfile.ReadError(f"{name} in it has {member.size} bytes, more than {sizes[name]}")
                    file = members.extractfile(member)
                    content = b"" if file is None else file.read()
                    if len(content) != member.size:
                        raise EOFError(f"{name} in it ends after {len(content)} of {member.size} bytes")
                    wanted.remove(name)
                    yield name, content
            # Read to the end: gzip compares its checksum there, and tarfile may stop earlier.
            while stream.read(1 << 20):
                pass
    except gzip.BadGzipFile as error:  # this is an OSError too
        raise _damaged(archive, error, dataset) from None
    except OSError as error:
        raise _unreadable(archive, error) from None
    except Exception as error:  # noqa: BLE001 - tarfile raises nearly anything on broken headers
        raise _damaged(archive, error, dataset) from None
    if wanted:
        raise wrong_content(archive, f"holds no {', '.join(sorted(wanted))}", dataset)
