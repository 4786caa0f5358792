"""Write PDFs in a second process while this process draws the next figure."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from infoplane.report import pdf_process
from infoplane.report.pdf_process import pdf_bytes
from infoplane.runs.whole_files import write_whole


class Pdfs:
    """Writes figures as PDF; all are on disk when the block of `pdfs_beside` ends.

    Args:
        folder: an empty folder through which figures go to the process.
        style: settings of matplotlib with which figures are drawn.
        process: process that draws the PDFs; PDFs that it does not finish are drawn here.
    """

    def __init__(self, folder: Path, style: Mapping[str, Any], process: "subprocess.Popen[str] | None") -> None:
        self._folder, self._style, self._process = folder, style, process
        self._jobs: dict[Path, Path] = {}  # path of each pickled figure, by the path of its PDF

    def add(self, figure: Figure, path: Path) -> None:
        """Write `figure` to `path`, now or until the block ends."""
        if self._process is None:
            write_whole(path, pdf_bytes(figure))
            return
        assert self._process.stdin is not None
        job = self._folder / f"{len(self._jobs)}.pickle"
        job.write_bytes(pickle.dumps((self._style, figure)))
        self._jobs[path] = job
        with suppress(OSError):  # the process has ended
            self._process.stdin.write(f"{job.name}\n")
            self._process.stdin.flush()

    def finish(self) -> None:
        """Wait for the process and write what it has drawn."""
        if self._process is None:
            return
        self._process.communicate()
        for path, job in self._jobs.items():
            drawn = job.with_suffix(".pdf")
            write_whole(path, drawn.read_bytes() if drawn.is_file() else pdf_bytes(pickle.loads(job.read_bytes())[1]))


@contextmanager
def pdfs_beside(style: Mapping[str, Any], *, beside: bool) -> Iterator[Pdfs]:
    """Yield the writer of PDFs.

    Args:
        style: settings of matplotlib, which are also set in this process.
        beside: whether there are enough figures for a second process; with one core there is none.
    """
    if not beside or _cores() < 2:
        yield Pdfs(Path(), style, None)
        return
    with tempfile.TemporaryDirectory(prefix="infoplane-figures-") as folder:
        process = _started(folder)
        try:
            pdfs = Pdfs(Path(folder), style, process)
            yield pdfs
            pdfs.finish()
        finally:
            if process is not None:
                process.kill()
                process.communicate()


def _started(folder: str) -> "subprocess.Popen[str] | None":
    # As a script with -P: modules in the user's folder are not for it, and __main__ of this process is not run again.
    command = [sys.executable, "-P", pdf_process.__file__, folder]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "MPLBACKEND": "agg"},
        )
    except OSError:  # no process can be started, or Python is embedded in another program
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
