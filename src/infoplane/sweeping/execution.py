"""Execute one run of a sweep: a child process of `infoplane flow` that is watched, started again and stopped."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal, NamedTuple

from infoplane.runs.whole_files import IN_USE, is_in_use, make_folder
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.state import HEARTBEAT, State
from infoplane.text import one_line

RETRIES = 3  # after a process was ended by a signal, e.g. for lack of memory, or was lost with its machine
POLL = 0.2  # seconds between two looks at a process
WAIT = 20.0  # seconds in which a process of before may end and free its run folder
LOST_WAIT = 180.0  # the same after a machine was lost: a file server frees its locks after a minute or two
_GRACE = 20.0  # seconds in which a process that was asked to end may do so
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
# How a process ends that was asked to by a signal, and says so itself, as infoplane does.
_TOLD = {128 + number: number.name for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
_TAIL = 4096  # bytes of the log in which the last line is looked for


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run, as it goes to an engine and, perhaps, to another machine.

    Attributes:
        name: of the point.
        sweep: folder of the sweep.
        words: what stands behind `infoplane flow`, without `--run`.
        directory: where the command was given; relative paths in the settings begin there.
        environment: variables that the process needs besides those of its machine.
        program: module or file of Python that is run.
    """

    name: str
    sweep: Path
    words: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    program: str = "infoplane"


class Outcome(NamedTuple):
    """How the run of a job ended.

    Attributes:
        name: of the point.
        status: "elsewhere" if another process works on the same run folder.
        line: reason of a failure.
    """

    name: str
    status: Literal["done", "failed", "elsewhere"]
    line: str = ""


class PointRun:
    """The child process of one job, with its state file. One thread of computation each.

    Args:
        job: what to run.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._folder = job, SweepFolder(job.sweep)
        self._run = self._folder.run_path(job.name)
        self._log = self._folder.log_path(job.name)
        self._process: subprocess.Popen[bytes] | None = None
        self._alive: int | None = None  # our end of the pipe that the child follows
        self._attempts, self._written = 0, 0
        self._state = State()
        self._wait_until = time.monotonic() + (LOST_WAIT if self._folder.state(job.name).is_lost() else WAIT)

    def poll(self) -> Outcome | None:
        """Start the process, or look at it; return the outcome once there is one."""
        if self._process is None:
            if is_in_use(self._run):
                return None if time.monotonic() < self._wait_until else self._outcome("elsewhere")
            self._start()
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            if time.time() - self._state.seen >= HEARTBEAT:
                self._write(seen=time.time())
            return None
        self._close()
        if code == 0:
            self._write(status="done", seen=time.time(), tables=self._folder.tables(self._job.name))
            return self._outcome("done")
        line = self._last_line() or f"its process ended with status {code}"
        if IN_USE in line:
            return None if time.monotonic() < self._wait_until else self._outcome("elsewhere")
        if code < 0 or code in _TOLD:
            line = (
                f"its process was ended by {_TOLD.get(code) or signal.Signals(-code).name}, perhaps for lack of memory"
            )
            if self._attempts <= RETRIES:
                return None
        self._write(status="failed", seen=time.time(), error=line)
        return self._outcome("failed", line)

    def ask_to_stop(self) -> None:
        """Ask the process to end, which keeps everything but the epoch under way."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Ask the process to end, wait for it, and end it if it does not."""
        if self._process is None:
            return
        self.ask_to_stop()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._close()
        self._write(status="stopped", seen=time.time())

    def _start(self) -> None:
        job = self._job
        make_folder(self._log.parent)
        self._attempts += 1
        self._written = self._log.stat().st_size if self._log.is_file() else 0
        followed, self._alive = os.pipe()
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", "infoplane.sweeping.followed", str(followed), job.program),
                        *("flow", *job.words, "--run", str(self._run)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=job.directory if job.directory.is_dir() else None,
                    env={**os.environ, **job.environment, **dict.fromkeys(_THREADS, "1")},
                    pass_fds=(followed,),
                    start_new_session=True,  # Ctrl-C on a terminal reaches the sweep, which then ends its processes
                )
        finally:
            os.close(followed)
        now = time.time()
        began = self._state.began or now
        self._state = State(
            status="running", pid=self._process.pid, host=socket.gethostname(), began=began, seen=now,
            attempts=self._attempts,
        )  # fmt: skip
        self._folder.write_state(job.name, self._state)

    def _close(self) -> None:
        self._process = None
        if self._alive is not None:
            os.close(self._alive)
            self._alive = None

    def _write(self, **changed: object) -> None:
        self._state = self._state.model_copy(update=changed)
        self._folder.write_state(self._job.name, self._state)

    def _outcome(self, status: Literal["done", "failed", "elsewhere"], line: str = "") -> Outcome:
        return Outcome(self._job.name, status, line)

    def _last_line(self) -> str:
        """Return the last line that the process printed since it was started."""
        with contextlib.suppress(OSError), self._log.open("rb") as log:
            size = _size(log)
            log.seek(max(self._written, size - _TAIL))
            lines = log.read().decode("utf-8", "replace").splitlines()
            return next((one_line(line.strip()) for line in reversed(lines) if line.strip()), "")
        return ""


def without_gpus(job: Job) -> Job:
    """Hide GPUs that nobody reserved from a new run: as many runs as there are cores are too many for one GPU."""
    if (SweepFolder(job.sweep).run_path(job.name) / "config.json").exists():  # a run continues on its device
        return job
    return replace(job, environment={**job.environment, "CUDA_VISIBLE_DEVICES": ""})


def write_failed(job: Job, line: str) -> Outcome:
    """Say in the state of a run that it was lost, where its own process could not; return the outcome."""
    folder = SweepFolder(job.sweep)
    lost = {"status": "failed", "error": line, "seen": time.time()}
    folder.write_state(job.name, folder.state(job.name).model_copy(update=lost))
    return Outcome(job.name, "failed", line)


def write_stopped(jobs: Iterable[Job]) -> None:
    """Say of cancelled runs that they have stopped: their processes may end before they say so themselves."""
    for job in jobs:
        folder = SweepFolder(job.sweep)
        state = folder.state(job.name)
        if state.status == "running":
            folder.write_state(job.name, state.model_copy(update={"status": "stopped", "seen": time.time()}))


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def execute(job: Job, *, between: Callable[[], None] = lambda: None) -> Outcome:
    """Execute a job in this process to its end; an error or Ctrl-C stops its child.

    Args:
        job: what to run.
        between: called again and again while the child works.
    """
    run = PointRun(job)
    try:
        while (outcome := run.poll()) is None:
            between()
            time.sleep(POLL)
    except BaseException:
        run.stop()
        raise
    return outcome
