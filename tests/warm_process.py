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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

# Read when Python or a module starts: a command that is given other values needs a new process.
READ_AT_START = ("PYTHON", "MPL", "OMP_", "MKL_", "OPENBLAS_", "TORCH", "POLARS_")
# Imported before the first command. They start no thread that a copy would lack: those of allocators begin again in it.
IMPORTED = (
    "torch._dynamo",  # which every optimiser imports
    "matplotlib.backends.backend_agg",
    "sklearn.datasets",
    "infoplane.commands.flow",
    "infoplane.report.html",
    "infoplane.studies.flow.information_flow",
)


class WarmProcess:
    """Runs commands one after another, each in a copy of one process that has its modules."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair()
        self._environment = dict(os.environ)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()
        self._lines = self._ours.makefile("r")
        atexit.register(self._end)

    def _end(self) -> None:
        """Close the socket, at which the process ends."""
        self._lines.close()
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
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            asked = {"script": list(script), "cwd": str(cwd or Path.cwd()), "environment": dict(environment)}
            message = json.dumps(asked).encode()
            self._ours.sendall(len(message).to_bytes(8))
            socket.send_fds(self._ours, [b"!"], [out.fileno(), err.fileno()])
            self._ours.sendall(message)
            pid = int(self._lines.readline())
            try:
                if not select.select([self._ours], [], [], timeout)[0]:
                    raise subprocess.TimeoutExpired(list(script), timeout)
                status = int(self._lines.readline())
            except BaseException:  # also where the test is interrupted: nothing of the command goes on
                os.killpg(pid, signal.SIGKILL)
                self._lines.readline()  # its status
                raise
            texts = []
            for file in (out, err):
                file.seek(0)
                texts.append(file.read().decode())
        return subprocess.CompletedProcess(list(script), status, *texts)


def become(asked: dict[str, Any], out: int, err: int) -> NoReturn:
    """Turn this copy into the process that a command would have had, run its script, and end."""
    os.setsid()
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
    """Copy this process for each command that is asked for."""
    while True:
        length = int.from_bytes(receive(connection, 8))
        _, (out, err), _, _ = socket.recv_fds(connection, 1, 2)
        asked = json.loads(receive(connection, length))
        pid = os.fork()
        if pid == 0:
            connection.close()
            become(asked, out, err)
        os.close(out)
        os.close(err)
        connection.sendall(f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    gc.freeze()  # a copy never visits these objects, and shares their memory
    with contextlib.suppress(EOFError, ConnectionError):
        serve(socket.socket(fileno=int(sys.argv[1])))
