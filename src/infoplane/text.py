"""Text as a person can read it: names of files, whatever bytes they are made of, and the help of classes."""

import inspect
import re
from typing import TypeVar

Class = TypeVar("Class", bound=type)

# Keywords of `create_model` where all fields have descriptions. Otherwise pydantic looks for docstrings in the source
# of every caller: some 20 ms of a command, and far more in a program with many modules.
DESCRIBED = {"use_attribute_docstrings": False}

_UNDECODABLE = re.compile("[\ud800-\udfff]+")  # Python stores file name bytes that are not UTF-8 as these
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def decodable(text: str) -> str:
    """Return `text` with a replacement character in place of bytes that are not UTF-8."""
    return _UNDECODABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return `decodable(text)` with control characters written as escapes, e.g. a newline as "\\n"."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], decodable(text))


def counted(number: int, what: str) -> str:
    """Return e.g. "1 epoch", "5 epochs" or "5,000 passes"."""
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number:,} {what if number == 1 else plural}"


def percent(share: float, low: float, high: float) -> str:
    """Return a share with its interval, e.g. "71 % (66 to 75)", or "0.0 % (0.0 to 0.4)" near the ends."""
    numbers = [100 * one for one in (share, low, high)]
    hides = any(0 < one < 1 or 99 < one < 100 for one in numbers)  # whole numbers would say 0 or 100 %
    value, start, end = (f"{one:.{1 if hides else 0}f}" for one in numbers)
    return f"{value} % ({start} to {end})"


def with_field_help(described: Class) -> Class:
    """Let `help()` explain each field of a NamedTuple as "Attributes:" of its docstring does, as a decorator."""
    _, _, section = inspect.cleandoc(described.__doc__ or "").partition("Attributes:\n")
    for name, text in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section, flags=re.MULTILINE):
        getattr(described, name).__doc__ = " ".join(text.split())
    return described
