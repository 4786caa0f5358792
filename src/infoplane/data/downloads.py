"""Downloading published data sets, with checksums, from several mirrors."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoplane.data import cifar10, stl10
from infoplane.data.files import archive_members, search_roots
from infoplane.data.verification import AS_PUBLISHED, verify
from infoplane.errors import UserError
from infoplane.terminal import can_redraw

Progress = Callable[[str, int, int], None]
"""Called with the file's name, the bytes that are there and the bytes expected, 0 where the server does not say."""

ROUNDS = 2  # through all mirrors; faults that pass, such as broken connections, get the second one
PAUSE_SECONDS = 1.0  # between rounds
_TIMEOUT_SECONDS = (10, 60)  # to connect; between two pieces


@dataclass(frozen=True)
class Source:
    """One published file: where it goes below the data folder, its checksum, and the mirrors that hold it."""

    path: str
    sha256: str
    urls: tuple[str, ...]


def _mnist(file: str, sha256: str) -> Source:
    mirrors = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
    return Source(f"mnist/{file}", sha256, tuple(mirror + file for mirror in mirrors))


# Checksums: tensorflow/datasets, url_checksums/{mnist,cifar10,stl10}.txt. Mirrors: the authors' pages;
# pytorch/vision, datasets/mnist.py; tensorflow/datasets (MNIST); tensorflow/swift-models (CIFAR-10).
SOURCES: Mapping[str, Sequence[Source]] = {
    "mnist": (
        _mnist("train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        _mnist("train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        _mnist("t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        _mnist("t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    ),
    "cifar10": (
        Source(
            cifar10.ARCHIVE,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            (
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
            ),
        ),
    ),
    "stl10": (
        Source(
            stl10.ARCHIVE,
            "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
            (
                "https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                # Without TLS; the checksum still decides whether it is kept.
                "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
            ),
        ),
    ),
}


def fetch(
    name: str,
    *,
    folder: Path | None = None,
    sources: Mapping[str, Sequence[Source]] = SOURCES,
    progress: Progress | None = None,
) -> Path:
    """Make sure that a whole, verified copy of a data set is there, and download what is missing.

    A file appears under its name only once its checksum has been found right. Of STL-10 the labelled images are
    unpacked, and the archive, most of which is unlabelled images, is deleted if this call downloaded it.

    Args:
        name: a data set in `sources`.
        folder: where it goes, and the only place that is searched for a copy; by default `INFOPLANE_DATA`, or
            else the user's cache.
        sources: what can be downloaded.
        progress: told about every piece.

    Returns:
        The folder to give to `load_split` as `root`; it also finds the default by itself.

    Raises:
        UserError: no mirror has the file or all are out of reach, or the folder cannot be written to.
    """
    if name not in sources:
        raise UserError(f"{name!r} cannot be downloaded; choose one of {', '.join(sources)}")
    for root in search_roots() if folder is None else [folder]:
        if all(check.message == AS_PUBLISHED for check in verify(name, root)):
            return root
    destination = folder or search_roots()[0]
    present = (destination / stl10.ARCHIVE).exists()
    try:
        for source in sources[name]:
            _download(name, source, destination, progress)
        if name == "stl10":
            _unpack_stl10(destination)
            if not present:
                (destination / stl10.ARCHIVE).unlink()
    except OSError as error:
        reason = error.strerror or error
        advice = "set INFOPLANE_DATA to a folder that can" if folder is None else "choose another with --folder"
        raise UserError(f"{destination} cannot be written to ({reason}); {advice}") from None
    return destination


def _download(name: str, source: Source, destination: Path, progress: Progress | None) -> None:
    import pooch

    target = destination / source.path
    http = pooch.HTTPDownloader(
        progressbar=_PoochBar(target.name, progress) if progress else False,
        chunk_size=1 << 16,
        timeout=_TIMEOUT_SECONDS,
        # Servers that compress on the way would have .gz files arrive unpacked, with another checksum.
        headers={"Accept-Encoding": "identity"},
    )

    def download(url: str, temporary: str, caller: object) -> None:
        http(url, temporary, caller)
        Path(temporary).chmod(0o644)  # pooch opens it for its owner alone, and data folders are shared

    failures: dict[str, str] = {}
    waiting = list(source.urls)
    for turn in range(ROUNDS):
        if turn and waiting:
            time.sleep(PAUSE_SECONDS)
        for url in tuple(waiting):
            try:
                with _quiet_pooch():
                    # Into a temporary file beside the target, which takes its place once the checksum is right.
                    known_hash = f"sha256:{source.sha256}"
                    pooch.retrieve(url, known_hash, target.name, target.parent, downloader=download)
                return
            except Exception as error:
                failure, passing = _explain(error)
                if failure is None:
                    raise
                failures[url] = failure
                if not passing:
                    waiting.remove(url)
    reasons = "; ".join(f"{url}: {failure}" for url, failure in failures.items())
    raise UserError(
        f"{name} could not be downloaded: {reasons}; check the connection and run again: infoplane data {name}, "
        f"or put {target.name} into {target.parent}"
    )


def _explain(error: Exception) -> tuple[str | None, bool]:
    """Say in words why a mirror failed, and whether trying it again can help; None where it was not the mirror."""
    from requests import exceptions

    match error:
        case exceptions.HTTPError(response=response) if response is not None:
            return f"HTTP {response.status_code}", response.status_code >= 500
        case exceptions.SSLError():
            return "its TLS certificate was not accepted", False
        case exceptions.Timeout():
            return "no answer in time", True
        case exceptions.ChunkedEncodingError():
            return "the connection broke off", True
        case exceptions.ConnectionError():
            return "no connection", True
        case exceptions.RequestException():
            return type(error).__name__, False
        case ValueError():  # from pooch
            return "wrong checksum", False
    return None, False


def _unpack_stl10(destination: Path) -> None:
    files = [f"{stl10.ARCHIVE_FOLDER}/{file}" for names in stl10.FILES.values() for file in names]
    (destination / stl10.ARCHIVE_FOLDER).mkdir(exist_ok=True)
    for member, content in archive_members(destination / stl10.ARCHIVE, files, "stl10"):
        target = destination / member
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                shutil.copyfileobj(content, file, 1 << 20)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


class _PoochBar:
    """What pooch expects of a progress bar, told on to a `Progress`."""

    def __init__(self, file: str, progress: Progress) -> None:
        self._file, self._progress = file, progress
        self._total = self._done = 0

    @property
    def total(self) -> int:
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        self._total, self._done = size, 0  # pooch sets it at the start of each attempt

    def update(self, size: int) -> None:
        # pooch counts whole pieces, of which the last is shorter.
        self._done = min(self._done + size, self._total) if self._total else self._done + size
        self._progress(self._file, self._done, self._total)

    def reset(self) -> None:
        pass  # called at the end, and followed by an update with the whole size

    def close(self) -> None:
        pass


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch from writing its own lines between ours."""
    import pooch

    logger: Any = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def download_bar() -> Iterator[Progress]:
    """A `Progress` that draws one bar per file on standard error, moving where that is a terminal.

    Elsewhere, and in a notebook, each file is a plain line at the end.
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
