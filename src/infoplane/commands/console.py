"""Show progress: a live bar on a terminal, plain lines elsewhere, nothing with --quiet."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from infoplane.terminal import can_redraw
from infoplane.text import one_line


class TerminalProgress:
    """A bar with the current activity and the time left; a line above it for each finished piece of work."""

    def __init__(self, console: Console) -> None:
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def begin(self, work: float) -> None:
        self._bar.update(self._task, total=work)

    def advance(self, work: float) -> None:
        self._bar.advance(self._task, work)

    def doing(self, activity: str) -> None:
        self._bar.update(self._task, description=activity)

    def say(self, line: str) -> None:
        self._bar.console.print(one_line(line), highlight=False, markup=False)


class PlainProgress:
    """Lines without control characters, for logs and pipes: one per finished piece, with the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._done = 0.0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self, work: float) -> None:
        self._total, self._began = work, time.monotonic()

    def advance(self, work: float) -> None:
        self._done += work

    def doing(self, activity: str) -> None:
        pass  # a line per activity would hide the lines that report results

    def say(self, line: str) -> None:
        left = ""
        if 0 < self._done < self._total:
            seconds = (time.monotonic() - self._began) * (self._total / self._done - 1)
            left = f"  about {format_seconds(seconds)} left"
        self._console.print(f"{one_line(line)}{left}", highlight=False, markup=False, soft_wrap=True)


class QuietProgress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def begin(self, work: float) -> None:
        pass

    def advance(self, work: float) -> None:
        pass

    def doing(self, activity: str) -> None:
        pass

    def say(self, line: str) -> None:
        pass


def progress_for(console: Console, *, quiet: bool) -> TerminalProgress | PlainProgress | QuietProgress:
    """Choose the display for the output stream; a notebook gets plain lines."""
    if quiet:
        return QuietProgress()
    return TerminalProgress(console) if can_redraw(console) else PlainProgress(console)


def format_seconds(seconds: float) -> str:
    """Return e.g. "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
