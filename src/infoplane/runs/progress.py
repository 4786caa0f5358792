"""Progress of a study: the interface through which a study reports it, and one that ignores it."""

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of a study. The command line draws a bar; a notebook may print."""

    def begin(self, work: float) -> None:
        """Receive the total work, in forward and backward passes of one image."""
        ...

    def advance(self, work: float) -> None:
        """Receive the amount of work that was done since the last call."""
        ...

    def doing(self, activity: str) -> None:
        """Receive the current activity, e.g. "adversarial: training epoch 3"."""
        ...

    def say(self, line: str) -> None:
        """Receive one line about a finished piece of work."""
        ...


class Silence:
    """Ignores all progress."""

    def begin(self, work: float) -> None:
        """Ignore."""

    def advance(self, work: float) -> None:
        """Ignore."""

    def doing(self, activity: str) -> None:
        """Ignore."""

    def say(self, line: str) -> None:
        """Ignore."""
