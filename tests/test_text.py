"""Names as text: one line, whatever bytes they are made of."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from infoplane.errors import UserError
from infoplane.text import decodable, one_line, with_field_help


def test_bytes_that_are_not_utf8_become_replacement_characters():
    assert decodable(b"caf\xe9 \xff\xfe.png".decode("utf-8", "surrogateescape")) == "caf\ufffd \ufffd.png"
    assert decodable("a\nb") == "a\nb"


def test_control_characters_become_escapes():
    assert one_line("a\nb\x1b[31m\u2028c") == "a\\nb\\x1b[31m\\u2028c"


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
