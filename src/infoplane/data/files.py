"""Finding and reading the files that data sets are published as: plain, .gz, .xz or inside a .tar.gz."""

import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from infoplane.errors import UserError

_DECODING_ERRORS = (gzip.BadGzipFile, lzma.LZMAError, zlib.error, tarfile.TarError, EOFError)


def search_roots(root: Path | None = None) -> list[Path]:
    """Folders where data sets are looked for: `root`, `INFOPLANE_DATA`, the user's cache; in that order."""
    from platformdirs import user_cache_path

    roots = [] if root is None else [root]
    if named := os.environ.get("INFOPLANE_DATA"):
        roots.append(Path(named).expanduser())
    return [*roots, user_cache_path("infoplane")]


def find_file(folder: Path, name: str) -> Path | None:
    """Return `name` in `folder`, plain or with .gz or .xz at its end, or None."""
    candidates = (folder / f"{name}{suffix}" for suffix in ("", ".gz", ".xz"))
    return next((path for path in candidates if path.is_file()), None)


def required_file(folder: Path, name: str, dataset: str) -> Path:
    """Return what `find_file` finds.

    Raises:
        UserError: nothing is there.
    """
    if path := find_file(folder, name):
        return path
    raise UserError(f"{folder} holds no {name} (nor .gz, .xz); run: infoplane data {dataset}")


def find_folder(root: Path, folders: Iterable[str], names: Iterable[str]) -> Path | None:
    """Return the first of `folders`, taken below `root`, that holds every file in `names`, or None."""
    names = tuple(names)
    candidates = (root / folder for folder in folders)
    return next((found for found in candidates if all(find_file(found, name) for name in names)), None)


def damaged(path: Path, problem: str, dataset: str) -> UserError:
    """The error about a file whose content is not what its data set publishes."""
    return UserError(f"{path} {problem}; delete it and run: infoplane data {dataset}")


def read_content(path: Path, dataset: str) -> bytes:
    """Return the content of a file, decompressed as its suffix says.

    Raises:
        UserError: the file cannot be read, or is cut short or damaged.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as unzipped:
                return unzipped.read()
        if path.suffix == ".xz":
            with lzma.open(path) as unpacked:
                return unpacked.read()
        return path.read_bytes()
    except _DECODING_ERRORS as error:
        raise damaged(path, f"is cut short or damaged ({error})", dataset) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); check its permissions") from None


def archive_members(archive: Path, names: Iterable[str], dataset: str) -> Iterator[tuple[str, IO[bytes]]]:
    """Walk through a .tar.gz and give each file of `names` as an open stream, in the archive's order.

    Nothing is extracted, so a path in the archive can lead nowhere; links are passed over.

    Raises:
        UserError: the archive cannot be read, is damaged, or lacks one of `names`.
    """
    wanted = set(names)
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as members:
                for member in members:
                    name = str(PurePosixPath(member.name))
                    if name in wanted and member.isfile() and (file := members.extractfile(member)):
                        wanted.remove(name)
                        yield name, file
            # gzip compares its checksum at the very end only, which tar has no need to reach.
            while stream.read(1 << 20):
                pass
    except _DECODING_ERRORS as error:
        raise damaged(archive, f"is cut short or damaged ({error})", dataset) from None
    except OSError as error:
        raise UserError(f"{archive} cannot be read ({error.strerror or error}); check its permissions") from None
    if wanted:
        raise damaged(archive, f"holds no {', '.join(sorted(wanted))}", dataset)
