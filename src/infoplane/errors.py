"""Mistakes of users: the one exception that the command line prints as a single line, and words for refused values."""

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from infoplane.text import one_line

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


__all__ = ["UserError"]


class UserError(Exception):
    """A mistake that the user can mend: the message says what was wrong, where, and what to do.

    Whatever names of files stand in it, the message is one line of valid text.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error about a name that nothing has: it suggests the nearest name, and lists all.

    Args:
        kind: of what the name is, in the singular, e.g. "recipe".
        name: as it was typed.
        known: all names that there are.
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    meant = f", did you mean {close[0]!r}?" if close else ""
    return UserError(f"unknown {kind} {name!r}{meant}; {kind}s are {', '.join(names)}")


def broken_rule(refusal: "ErrorDetails") -> str:
    """Return which rule of a setting its value breaks, e.g. "must be greater than or equal to 1, got 0".

    Args:
        refusal: one of the `errors()` of a pydantic ValidationError.
    """
    if refusal["type"] == "value_error":  # of a rule of ours, which says everything itself
        return refusal["msg"].removeprefix("Value error, ")
    if refusal["type"] == "missing":
        return "is missing"
    if refusal["type"] == "extra_forbidden":
        return "is not a setting of this version"
    rule = re.sub(r"^\w+ should ", "must ", refusal["msg"])
    rule = re.sub(r" after validation, not \d+$| or instance of \w+", "", rule)
    value = refusal["input"]
    shown = "none" if value == () else repr(value)
    return f"{rule}, got {shown if len(shown) <= 60 else f'{shown[:60]} ...'}"
