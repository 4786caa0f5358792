"""How a study tells what it is doing, without knowing who listens."""

from typing import Protocol


class Progress(Protocol):
    """Hears how far a study is; the command line draws a bar, a notebook may print, tests listen."""

    def begin(self, work: float) -> None:
        """The whole work ahead, in passes of one image forward and back."""
        ...

    def advance(self, work: float) -> None:
        """So much of it is done."""
        ...

    def doing(self, activity: str) -> None:
        """What is going on now, e.g. "adversarial: training epoch 3"."""
        ...

    def say(self, line: str) -> None:
        """A finished piece of work in one line."""
        ...


class Silence:
    """The progress of a study that nobody watches."""

    def begin(self, work: float) -> None:
        """Ignore."""

    def advance(self, work: float) -> None:
        """Ignore."""

    def doing(self, activity: str) -> None:
        """Ignore."""

    def say(self, line: str) -> None:
        """Ignore."""
