"""Make file and class names readable: replace invalid bytes and escape control characters."""

import re

_UNDECODABLE = re.compile("[\ud800-\udfff]+")  # Python stores file name bytes that are not UTF-8 as these
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def decodable(text: str) -> str:
    """Return `text` with a replacement character in place of bytes that are not UTF-8."""
    return _UNDECODABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return `decodable(text)` with control characters written as escapes, e.g. a newline as "\\n"."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], decodable(text))
