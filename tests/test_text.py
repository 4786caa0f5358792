"""Names as text: one line, whatever bytes they are made of."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import UserError
from infoplane.text import decodable, one_line, percent, with_field_help


def test_bytes_that_are_not_utf8_become_replacement_characters():
    assert decodable(b"caf\xe9 \xff\xfe.png".decode("utf-8", "surrogateescape")) == "caf\ufffd \ufffd.png"
    assert decodable("a\nb") == "a\nb"


def test_control_characters_become_escapes():
    assert one_line("a\nb\x1b[31m\u2028c") == "a\\nb\\x1b[31m\\u2028c"


@pytest.mark.parametrize(
    ("share", "text"),
    [
        ((0.714, 0.66, 0.75), "71 % (66 to 75)"),
        ((0.0, 0.0, 0.004), "0.0 % (0.0 to 0.4)"),
        ((0.991, 0.989, 0.9931), "99.1 % (98.9 to 99.3)"),
        ((1.0, 0.96, 1.0), "100 % (96 to 100)"),
    ],
)
def test_whole_percents_hide_nothing_near_the_ends(share, text):
    assert percent(*share) == text


@given(st.text(alphabet=st.characters()))
def test_a_users_mistake_is_always_one_line_of_valid_text(text):
    message = str(UserError(text))
    message.encode()
    assert len(message.splitlines()) <= 1


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "Zs"])))
def test_other_text_stays_as_it_is(text):
    assert one_line(text) == text


def test_help_of_a_named_tuple_explains_its_fields():
    @with_field_help
    class Pair(NamedTuple):
        """Two numbers.

        Attributes:
            first: of any size,
                on two lines.
            second: likewise.

        Source: none.
        """

        first: int
        second: int

    assert (Pair.first.__doc__, Pair.second.__doc__) == ("of any size, on two lines.", "likewise.")
