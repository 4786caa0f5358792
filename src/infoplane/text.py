"""Names of files and classes as a person can read them, whatever bytes they are made of."""

import re

_UNDECODABLE = re.compile("[\ud800-\udfff]+")  # how Python keeps bytes of file names that are not UTF-8
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def decodable(text: str) -> str:
    """Return `text` with a replacement character in place of bytes that are not UTF-8."""
    return _UNDECODABLE.sub("\ufffd", text)


def one_line(text: str) -> str:
    """Return `text` likewise, with control characters, such as newlines, written as escapes: "\\n"."""
    return _CONTROL.sub(lambda found: ascii(found[0])[1:-1], decodable(text))
