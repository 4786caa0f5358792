"""Child processes that end with the process that started them."""

import os
import signal
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait

from infoplane.distributed.malloc import keep_freed_memory


def begin_child() -> None:
    """Let the parent alone decide what Ctrl-C does, and end this process when its parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides what happens
    keep_freed_memory()
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End this process when its parent has ended: a killed parent cannot stop its workers."""
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
