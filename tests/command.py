"""Running the installed command as a user does."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from tests.warm_process import Started, WarmProcess

ENTRY = Path(sys.executable).with_name("infoplane")
DRAWING_LITTLE = Path(__file__).with_name("drawing_little.py")
# For `drawn`: all figures are made from the records. None becomes a file with content, but for kinds named after it.
UNRENDERED = ("unrendered",)


def hear_signals() -> None:
    """For `preexec_fn`: the tests may run under nohup or in the background, whose children ignore some signals."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def entry(drawn: Sequence[str] | None = None) -> list[str]:
    """Return how the command is started with `drawn`, as in `infoplane`, in the environment of `drawing`."""
    return [str(ENTRY)] if drawn is None else [sys.executable, str(DRAWING_LITTLE)]


def drawing(drawn: Sequence[str] | None = None, **more: str) -> dict[str, str]:
    """Return the environment of a command that was started as `entry` says, with one thread."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "DRAWN_FIGURES": " ".join(drawn or ()), **more}


def infoplane(
    *arguments: object,
    cwd: Path | None = None,
    drawn: Sequence[str] | None = None,
    imported: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, away from this folder's data.

    Drawing figures takes longer than everything else in a small run. Tests about something else give `drawn`: the
    kinds of figures that they look at, () for none, or `UNRENDERED`. Records, findings and page are written in any
    case. Importing takes longer too, so a process that has imported the large modules, and those in `imported`, is
    copied for each command; one whose environment is read while Python starts gets a new process.
    """
    return _run(entry(drawn), arguments, cwd, drawing(drawn, COLUMNS="120", **environment), imported)


def run_script(script: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a script of Python, in a copy of the same process if the environment allows it."""
    return _run([sys.executable, str(script)], arguments, None, drawing())


def _run(
    started_by: list[str],
    arguments: Sequence[object],
    cwd: Path | None,
    environment: dict[str, str],
    imported: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    words = list(map(str, arguments))
    if warm(*imported).can_run(environment):
        return warm(*imported).run([*started_by[-1:], *words], cwd, environment, timeout=240)
    return subprocess.run(
        [*started_by, *words], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


def started(
    *arguments: object, drawn: Sequence[str] | None = None, imported: tuple[str, ...] = ()
) -> Started | subprocess.Popen[str]:
    """Start the command as `infoplane` does, for a test that sends it signals once it works."""
    words, variables = list(map(str, arguments)), drawing(drawn, COLUMNS="120")
    if warm(*imported).can_run(variables):
        return warm(*imported).start([*entry(drawn)[-1:], *words], None, variables)
    return subprocess.Popen(
        [*entry(drawn), *words], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=hear_signals,
    )  # fmt: skip


@cache
def warm(*imported: str) -> WarmProcess:
    """Return the process that runs the commands of all tests in this one which have imported these modules, too."""
    return WarmProcess(*imported)


def on_a_terminal(*arguments: str, **environment: str) -> tuple[int, str]:
    """Run Python on a terminal of 80 columns; returns its status and what a person sees."""
    outer, inner = pty.openpty()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm-256color", "COLUMNS": "80", **environment}
    with subprocess.Popen(
        [sys.executable, *arguments], stdin=inner, stdout=inner, stderr=inner, env=environment
    ) as process:
        os.close(inner)
        seen = b""
        with suppress(OSError):  # which is how a terminal ends
            while part := os.read(outer, 4096):
                seen += part
    os.close(outer)
    return process.returncode, seen.decode()


def assert_one_clear_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 2, done
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in lines[0], (word, lines[0])
