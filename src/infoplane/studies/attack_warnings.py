"""Show warnings of attacks in a study's progress and write them to its log."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infoplane.attacks import AttackWarning, merged_attack_warnings
from infoplane.runs.progress import Progress


@contextmanager
def attack_warnings_said(training: str, progress: Progress, log: Callable[..., None]) -> Iterator[None]:
    """Turn the warnings of attacks inside the block into one line and one log entry per complaint, with its count.

    All other warnings stay unchanged.

    Args:
        training: name of the training, and the epoch, for the line.
        progress: shows the line.
        log: called as `log("attack warning", message=..., images=..., total=...)`.
    """
    caught: list[warnings.WarningMessage] = []
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", AttackWarning)
            with merged_attack_warnings():
                yield
    finally:  # also if the block ends in an error, which the warnings may explain
        for entry in caught:
            one = entry.message
            if isinstance(one, AttackWarning):
                log("attack warning", message=str(one), images=one.images, total=one.total)
                progress.say(f"{training}: attack: {one}")
            else:
                warnings.warn_explicit(one, entry.category, entry.filename, entry.lineno)
