"""Mistakes of users: the one exception that the command line prints as a single line, and words for refused values."""

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from infoplane.text import one_line

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class UserError(Exception):
    """A mistake that the user can mend: the message says what was wrong, where, and what to do.

    Whatever names of files stand in it, the message is one line of valid text.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ", did you mean 'mnist'?" for a name that is nearly one of the known ones, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def unknown_name(what: str, name: str, known: Iterable[str], more: str = "") -> UserError:
    """Return the error about a name that is not among those of what there is.

    Args:
        what: the kind of thing, e.g. "dataset".
        name: as it was given.
        known: the names of all such things.
        more: what else can be given, e.g. " or package.module:function".
    """
    known = list(known)
    return UserError(f"unknown {what} {name!r}{suggestion(name, known)}; choose one of {', '.join(known)}{more}")


def broken_rule(refusal: "ErrorDetails") -> str:
    """Return which rule of a setting its value breaks, e.g. "must be greater than or equal to 1, got 0".

    Args:
        refusal: one of the `errors()` of a pydantic ValidationError.
    """
    if refusal["type"] == "value_error":  # of a rule of ours, which says everything itself
        return refusal["msg"].removeprefix("Value error, ")
    if refusal["type"] == "missing":
        return "is missing"
    rule = re.sub(r"^\w+ should ", "must ", refusal["msg"])
    rule = re.sub(r" after validation, not \d+$| or instance of \w+", "", rule)
    value = refusal["input"]
    shown = "none" if value == () else repr(value)
    return f"{rule}, got {shown if len(shown) <= 60 else f'{shown[:60]} ...'}"
