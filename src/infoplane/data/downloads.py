"""Download published datasets and verify the copies on disk."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infoplane.data.catalogue import shipped_dataset
from infoplane.data.files import search_roots
from infoplane.data.published import archived_contents
from infoplane.data.spec import DatasetSpec, Publication, Source
from infoplane.data.transfer import Progress, download
from infoplane.data.verification import AS_PUBLISHED, DIFFERS, FileCheck, check_file, verify
from infoplane.errors import UserError
from infoplane.terminal import can_redraw


def fetch(
    name: str,
    *,
    folder: Path | None = None,
    replace: bool = False,
    sources: Sequence[Source] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], object] | None = None,
) -> Path:
    """Ensure that a complete, verified copy of a dataset is on disk; download missing files.

    A file gets its name only after its checksum was verified. No file is overwritten: a file that cannot be decoded,
    or that `replace` allows to be replaced, is renamed to end in ".old". An archive that cannot be read without
    unpacking, such as that of STL-10, is unpacked; it is then deleted if this call downloaded it.

    Args:
        name: a dataset that can be downloaded.
        folder: the folder to store it in, and the only one that is searched for a copy; by default `INFOPLANE_DATA`,
            or else the user's cache.
        replace: whether files that can be decoded but do not belong to this dataset may be renamed.
        sources: files to download; by default those of the dataset's authors and their mirrors.
        progress: called for every piece that arrives.
        say: called with a sentence for each file that was renamed.

    Returns:
        The folder to give to `load_split`; it also finds the default by itself.

    Raises:
        UserError: the dataset needs no download or has no sources, no mirror has the file, no mirror can be reached,
            the folder cannot be written to, or a file with other content has the same name.
    """
    spec = shipped_dataset(name)
    if spec.publication is None:
        raise UserError(f"{name!r} needs no download: it comes with {spec.comes_with}")
    checks = verify(name, folder)
    roots = search_roots() if folder is None else [folder]
    publication = spec.publication
    if all(check.message == AS_PUBLISHED for check in checks):
        return next(root for root in roots if any(publication.locate(root, split) for split in publication.files))
    destination = roots[0]
    offered = publication.sources if sources is None else sources
    if not offered:
        files = ", ".join(publication.by_name)
        raise UserError(f"{name!r} cannot be downloaded; put {files} into {destination / publication.home}")
    wanted = [source for source in offered if not _is_here(spec, source, destination)]
    obstacles = _obstacles(spec, wanted, destination, checks)
    if not replace and (others := [check for check in obstacles if not check.damaged]):
        raise UserError(
            f"{others[0].path} is {DIFFERS.format(dataset=name)}; to replace it and keep the old file: "
            f"infoplane data {name} --replace"
        )
    try:
        _download_all(name, wanted, destination, [check.path for check in obstacles if check.path], progress, say)
        if publication.archive is not None and not publication.archive.folders:
            _unpack(spec, publication, destination / publication.archive.name)
            if any(source.path == publication.archive.name for source in wanted):
                (destination / publication.archive.name).unlink()
    except OSError as error:
        reason = error.strerror or error
        advice = "set INFOPLANE_DATA to a writable folder" if folder is None else "choose another with --folder"
        raise UserError(f"{destination} cannot be written to ({reason}); {advice}") from None
    return destination


def _download_all(
    name: str,
    wanted: Sequence[Source],
    destination: Path,
    obstacles: Sequence[Path],
    progress: Progress | None,
    say: Callable[[str], object] | None,
) -> None:
    arrived = {
        destination / source.path: download(name, source, destination / source.path, progress) for source in wanted
    }
    for path in dict.fromkeys(obstacles):
        aside = _free_name(path)
        path.rename(aside)
        if say is not None:
            say(f"the old {path} is kept as {aside.name}")
    for target, part in arrived.items():
        part.chmod(0o644)  # other users may read the data folder too
        part.replace(target)


def _free_name(path: Path) -> Path:
    """Return an unused name in the folder of `path` that no reader looks for."""
    numbers = iter(range(2, 10_000))
    aside = path.with_name(f"{path.name}.old")
    while aside.exists():
        aside = path.with_name(f"{path.name}.old{next(numbers)}")
    return aside


def _is_here(spec: DatasetSpec, source: Source, destination: Path) -> bool:
    """Whether the file, or another form of it with the same content, is in its folder."""
    target = destination / source.path
    if not target.is_file():
        return False
    with target.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() == source.sha256:
            return True
    return _is_published_alone(spec, target) and check_file(target, spec, target.stem).ok


def _is_published_alone(spec: DatasetSpec, target: Path) -> bool:
    """Whether this is the path of one compressed file of the dataset, not of an archive."""
    return target.stem in spec.published.by_name


def _obstacles(
    spec: DatasetSpec, wanted: Sequence[Source], destination: Path, checks: Sequence[FileCheck]
) -> Sequence[FileCheck]:
    """Return the files that would be overwritten, or that readers would find before the downloaded ones."""
    folders = spec.published.folders
    first = [destination / folder for folder in folders[: folders.index(spec.published.home) + 1]]
    targets = {destination / source.path: source for source in wanted}
    found: dict[Path, FileCheck] = {}
    for check in checks:
        path = check.path
        if path and check.message != AS_PUBLISHED and (path.parent in first or path in targets):
            # an archive is checked once per split
            found[path] = check._replace(damaged=check.damaged or (path in found and found[path].damaged))
    for target, source in targets.items():
        if target.exists() and target not in found:
            found[target] = _check_target(spec, source, target)
    return list(found.values())


def _check_target(spec: DatasetSpec, source: Source, target: Path) -> FileCheck:
    if _is_published_alone(spec, target):
        return check_file(target, spec, target.stem)
    cut = target.is_file() and target.stat().st_size < source.size
    return FileCheck(str(target), False, DIFFERS.format(dataset=spec.name), target, damaged=cut)


def _unpack(spec: DatasetSpec, publication: Publication, path: Path) -> None:
    """Unpack the files of the dataset from the archive `path` into the folder for downloads."""
    folder = path.parent / publication.home
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in archived_contents(path, spec, tuple(publication.by_name)):
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        try:
            temporary.write_bytes(content)
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def download_bar() -> Iterator[Progress]:
    """A `Progress` that draws one bar per file on standard error if that is a terminal.

    Otherwise, and in a notebook, it prints one line when a file is complete.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, Any] = {}
    console = Console(stderr=True)
    if not can_redraw(console):
        console = Console(stderr=True, force_terminal=False, force_jupyter=False)
    with Bars(*columns, console=console) as bars:

        def show(file: str, done: int, total: int) -> None:
            if file not in tasks:
                tasks[file] = bars.add_task(file, total=None)
            bars.update(tasks[file], completed=done, total=total or None)

        yield show
