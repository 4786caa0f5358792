"""A process that has imported what commands import, and makes one of itself for each command.

Importing takes longer than all else that a small command does. A copy of this process runs the same script with the
same arguments, environment and folder as a new process would; only the modules are there already.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

# Read when Python or a module starts: a command that is given other values needs a new process.
READ_AT_START = ("PYTHON", "MPL", "OMP_", "MKL_", "OPENBLAS_", "TORCH", "POLARS_")
POLL = 0.01  # seconds between two looks at the copies
# Imported before the first command. They start no thread that a copy would lack: those of allocators begin again in it.
IMPORTED = (
    "matplotlib.backends.backend_agg",
    "sklearn.datasets",
    "infoplane.commands.flow",
    "infoplane.report.html",
    "infoplane.studies.flow.information_flow",
)


class Started:
    """A command that goes on, with the part of `subprocess.Popen` that tests need. It leads a session of its own."""

    def __init__(self, server: "WarmProcess", script: Sequence[str], pid: int, out: IO[bytes], err: IO[bytes]) -> None:
        self._server, self.args, self.pid = server, list(script), pid
        self._files = (out, err)
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the status, None while it goes on."""
        return self._ended(0.0)

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None) -> tuple[str, str]:
        """Wait for the end; return what was printed."""
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read().decode("utf-8", "replace"))
            file.close()
        return texts[0], texts[1]

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.status_of(self.pid, timeout)
        return self.returncode


class WarmProcess:
    """Runs commands, each in a copy of one process that has its modules."""

    def __init__(self, *further: str) -> None:
        """Import these modules, too."""
        self._ours, theirs = socket.socketpair()
        self._environment = dict(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno()), *further],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        self._received = b""
        self._statuses: dict[int, int] = {}
        atexit.register(self._end)

    def _end(self) -> None:
        """Close the socket, at which the process ends."""
        self._ours.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def can_run(self, environment: Mapping[str, str]) -> bool:
        """Return whether nothing in an environment is read before a command begins."""
        changed = {
            name for name in {*environment, *self._environment} if environment.get(name) != self._environment.get(name)
        }
        return not any(name.startswith(READ_AT_START) for name in changed)

    def run(
        self, script: Sequence[str], cwd: Path | None, environment: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a script, its path and arguments, as `subprocess.run` does with captured text."""
        started = self.start(script, cwd, environment)
        try:
            texts = started.communicate(timeout)
        except BaseException:  # also where the test is interrupted: nothing of the command goes on
            if started.poll() is None:
                os.killpg(started.pid, signal.SIGKILL)
                started.communicate(None)
            raise
        return subprocess.CompletedProcess(list(script), started.returncode or 0, *texts)

    def start(self, script: Sequence[str], cwd: Path | None, environment: Mapping[str, str]) -> Started:
        """Start a script that may be given signals."""
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - `Started` closes them
        asked = {"script": list(script), "cwd": str(cwd or Path.cwd()), "environment": dict(environment)}
        message = json.dumps(asked).encode()
        self._ours.sendall(len(message).to_bytes(8))
        socket.send_fds(self._ours, [b"!"], [out.fileno(), err.fileno()])
        self._ours.sendall(message)
        while (said := self._said(None)) is None or len(said) > 1:
            pass
        return Started(self, script, said[0], out, err)

    def status_of(self, pid: int, timeout: float | None) -> int | None:
        """Return the status with which a command has ended, None if it has not within the time."""
        end = None if timeout is None else time.monotonic() + timeout
        while pid not in self._statuses:
            left = None if end is None else max(end - time.monotonic(), 0.0)
            if self._said(left) is None:
                return None
        return self._statuses.pop(pid)

    def _said(self, timeout: float | None) -> list[int] | None:
        """Return the next line: the pid of a copy; or a pid with its status, which is kept. None after the time."""
        while b"\n" not in self._received:
            if not select.select([self._ours], [], [], timeout)[0]:
                return None
            self._received += receive(self._ours, 1)
        line, _, self._received = self._received.partition(b"\n")
        said = [int(word) for word in line.split()]
        if len(said) > 1:
            self._statuses[said[0]] = said[1]
        return said


def become(asked: dict[str, Any], out: int, err: int) -> NoReturn:
    """Turn this copy into the process that a command would have had, run its script, and end."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run under nohup or in the background,
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whose children ignore these
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = asked["script"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    status = 1
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - as at the end of any Python process
        sys.excepthook(*sys.exc_info())
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # taking down what was imported would take longer than the command


def receive(connection: socket.socket, count: int) -> bytes:
    received = b""
    while len(received) < count:
        part = connection.recv(count - len(received))
        if not part:
            raise EOFError
        received += part
    return received


def serve(connection: socket.socket) -> NoReturn:
    """Copy this process for each command that is asked for, and say of each copy how it ended."""
    copies = set[int]()
    while True:
        asked_for = select.select([connection], [], [], POLL if copies else None)[0]
        for pid in list(copies):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                copies.remove(pid)
                connection.sendall(f"{pid} {os.waitstatus_to_exitcode(status)}\n".encode())
        if not asked_for:
            continue
        length = int.from_bytes(receive(connection, 8))
        _, (out, err), _, _ = socket.recv_fds(connection, 1, 2)
        asked = json.loads(receive(connection, length))
        pid = os.fork()
        if pid == 0:
            connection.close()
            become(asked, out, err)
        os.close(out)
        os.close(err)
        copies.add(pid)
        connection.sendall(f"{pid}\n".encode())


if __name__ == "__main__":
    for name in (*IMPORTED, *sys.argv[2:]):
        importlib.import_module(name)
    gc.freeze()  # a copy never visits these objects, and shares their memory
    with contextlib.suppress(EOFError, ConnectionError):
        serve(socket.socket(fileno=int(sys.argv[1])))
