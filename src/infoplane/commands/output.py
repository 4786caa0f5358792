"""Keep a command running when nobody reads its output any more, and end it cleanly on signals."""

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, TextIO

_GONE = {errno.EPIPE, errno.EIO}  # the reader of a pipe, or the terminal, is gone


class Ended(KeyboardInterrupt):
    """A signal asked this process to end; it is handled like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.status = 128 + number


class Told(KeyboardInterrupt):
    """An interruption that was already reported to the user.

    Args:
        interruption: the original exception.
    """

    def __init__(self, interruption: KeyboardInterrupt) -> None:
        super().__init__()
        self.status = interrupted_status(interruption)


def interrupted_status(interruption: KeyboardInterrupt) -> int:
    """Return the exit status after an interruption: 128 and the number of the signal."""
    status: int = getattr(interruption, "status", 128 + signal.SIGINT)
    return status


@contextlib.contextmanager
def signals_end_work() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, unless they are ignored, as under nohup."""
    ended: Ended | None = None

    def end(number: int, _frame: FrameType | None) -> None:
        nonlocal ended
        ended = Ended(number)
        raise ended

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, end)
    try:
        yield
    except Exception as error:
        if ended is None:
            raise
        raise ended from error  # the signal arrived inside a library, which made another exception of it
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def complain(line: str) -> None:
    """Print a line to standard error, if somebody can read it."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


class LastingOutput:
    """A stream that ignores all output once nobody reads it any more.

    Args:
        stream: the stream that it writes to.
        loss: message that is then printed once on standard error; None prints nothing.
    """

    def __init__(self, stream: TextIO, loss: str | None) -> None:
        self._stream, self._loss = stream, loss

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if error.errno not in _GONE:
            raise error
        _silence(self._stream)
        if self._loss is not None:
            complain(self._loss)
            self._loss = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_output(loss: str | None) -> Iterator[None]:
    """Print to a `LastingOutput` inside the block; characters that cannot be encoded are replaced."""
    stream = sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="replace")
    sys.stdout = LastingOutput(stream, loss)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        sys.stdout = stream


def _silence(stream: TextIO) -> None:
    """Discard the buffered output and all further output."""
    with contextlib.suppress(OSError, ValueError):  # the stream is not a file
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
