"""What attacks warn of, said once per piece of work instead of once per batch."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from infoplane.attacks import AttackWarning
from infoplane.studies.progress import Progress


@contextmanager
def attack_warnings_said(training: str, progress: Progress, log: Callable[..., None]) -> Iterator[None]:
    """Catch the warnings of attacks inside the block; say the first and log ten. All others stay warnings.

    Args:
        training: whose attack it is, for the line.
        progress: hears the line.
        log: called as `log("attack warning", messages=..., number=...)`.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AttackWarning)
        yield
    complaints = [str(warning.message) for warning in caught if issubclass(warning.category, AttackWarning)]
    if complaints:
        more = f" (and {len(complaints) - 1} more such batches)" if len(complaints) > 1 else ""
        log("attack warning", messages=complaints[:10], number=len(complaints))
        progress.say(f"{training}: attack: {complaints[0]}{more}")
    for warning in caught:
        if not issubclass(warning.category, AttackWarning):
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
