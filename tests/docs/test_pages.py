"""Every block of a page is found and is of a known kind."""

import pytest
from tests.docs.pages import blocks_of, commands_of


def words(text):
    return [" ".join(one.words) for one in commands_of(text)]


def test_commands_are_found_in_fenced_and_indented_blocks_and_in_prose():
    text = "```\ninfoplane report RUN  # draws\n```\n\n    make demo\n\n"
    text += "- item\n\n      pip install infoplane\n\nUse `make test` here.\n"
    assert words(text) == ["infoplane report RUN", "make demo", "pip install infoplane", "make test"]


def test_a_command_goes_on_after_a_backslash_and_loses_environment_and_redirection():
    text = (
        "    KEY=... infoplane flow RECIPE \\\n        --epochs 3    # long\n    infoplane --completion bash > file\n"
    )
    assert words(text) == ["infoplane flow RECIPE --epochs 3", "infoplane --completion bash"]


def test_a_block_that_is_neither_code_nor_command_nor_text_is_refused():
    with pytest.raises(ValueError, match="begins with none of"):
        words("    I(X;T) = H(T)\n")
    with pytest.raises(ValueError, match="neither Python, nor commands"):
        list(blocks_of("```json\n{}\n```\n"))


def test_text_and_directives_hold_no_commands():
    assert words("```text\nI(X;T) = H(T)\n```\n\n```{toctree}\nstart\n```\n") == []


def test_a_comment_belongs_to_the_next_block_alone():
    text = "<!-- run: a = 1 -->\n```python\nb\n```\n\n```python\nc\n```\n\n"
    text += "<!-- run: d = 1 -->\n\nprose\n\n```python\ne\n```\n"
    assert [block.before for block in blocks_of(text)] == ["a = 1\n", "", ""]
