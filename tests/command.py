"""Running the installed command as a user does."""

import os
import pty
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

ENTRY = Path(sys.executable).with_name("infoplane")


def infoplane(*arguments: object, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, away from this folder's data."""
    return subprocess.run(
        [ENTRY, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


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
