"""State of one run of a sweep, as its process last wrote it."""

import contextlib
import os
import socket
import time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from infoplane.runs.whole_files import write_whole

HEARTBEAT = 10.0  # seconds between two writes of a running process
LOST_AFTER = 6 * HEARTBEAT

Status = Literal["pending", "running", "done", "failed", "stopped"]


class State(BaseModel):
    """What is known about one run.

    Attributes:
        status: "pending" before it first began; "stopped" if it was interrupted and will continue.
        pid: of the process that computes, or computed, it.
        host: the machine of that process.
        began: when this sitting began, in seconds since 1970.
        seen: when that process was last seen.
        attempts: how often this sitting has started the process.
        tables: number of tables at the end; fewer ones later mean that records were deleted.
        error: last line of a failed process.
    """

    model_config = ConfigDict(frozen=True)

    status: Status = "pending"
    pid: int = 0
    host: str = ""
    began: float = 0.0
    seen: float = 0.0
    attempts: int = 0
    tables: int = 0
    error: str = ""

    def is_lost(self) -> bool:
        """Return whether the run should be running, but its process is gone or has not been seen for a minute."""
        if self.status != "running":
            return False
        if self.host == socket.gethostname() and not is_alive(self.pid):
            return True
        return time.time() - self.seen > LOST_AFTER  # here too: after a restart another process can have its number


def is_alive(pid: int) -> bool:
    """Return whether a process of this machine exists; one that ended but was not waited for (zombie) does not."""
    with contextlib.suppress(OSError):  # there is no /proc on macOS
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True


def read_state(path: Path) -> State:
    """Return the state in a file; "pending" if there is no file or it is damaged, since then nothing is known."""
    try:
        return State.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return State()


def write_state(path: Path, state: State) -> None:
    """Write a state, whole or not at all."""
    write_whole(path, (state.model_dump_json(indent=2) + "\n").encode())
