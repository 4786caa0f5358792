"""Errors for users: the exception that the command line prints as one line, and descriptions of refused values."""

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from infoplane.text import one_line

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


__all__ = ["UserError"]


class UserError(Exception):
    """An error that the user can correct. The message says what was wrong, where, and what to do.

    The message is always one line of valid text, whatever file names it contains.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(one_line(str(message)))


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error about an unknown name. It suggests the nearest known name and lists all.

    Args:
        kind: what is named, in the singular, e.g. "recipe".
        name: the name as it was typed.
        known: all known names.
    """
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    meant = f", did you mean {close[0]!r}?" if close else ""
    return UserError(f"unknown {kind} {name!r}{meant}; {kind}s are {', '.join(names)}")


def broken_rule(refusal: "ErrorDetails") -> str:
    """Return the rule that a setting's value breaks, e.g. "must be greater than or equal to 1, got 0".

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
