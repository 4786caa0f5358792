"""What the pages of the documentation give a reader to type: blocks of Python and command lines.

A block is one of these; `kind_of` refuses any other.

- ```` ```python ````: code. The blocks of a page run one after the other in one namespace.
- a block without a language, or an indented one: command lines.
- ```` ```text ````: a formula or an output, which nobody types.
- ```` ```{name} ````: a directive of the site.

A comment of HTML before a block, which readers do not see, says how a test runs it:

- `<!-- file: my_attacks.py -->`: the reader saves this block under that name. Later blocks import it.
- `<!-- run: CODE -->`: code that runs before the block and stands for what the reader has already.
- `<!-- small: OLD => NEW; OLD => NEW -->`: what is replaced in the block, where it would take long.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
# docs/api holds signatures, which tests/test_api.py compares with the code.
PAGES = sorted(
    str(path.relative_to(REPOSITORY))
    for path in (REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *DOCS.rglob("*.md"))
    if DOCS / "api" not in path.parents
)
PROGRAMS = ("infoplane", "make", "pip", "python")


class Block(NamedTuple):
    """A block of code: where it stands, what it is, and what its comment says."""

    line: int
    kind: str  # "python", "commands", "text" or "directive"
    text: str
    before: str = ""
    file: str = ""
    small: str = ""

    @property
    def small_text(self) -> str:
        """The text with what the comment replaces.

        Raises:
            ValueError: the block does not hold what is to be replaced.
        """
        text = self.text
        for change in filter(None, self.small.split(";")):
            old, new = (part.strip() for part in change.split("=>"))
            if old not in text:
                raise ValueError(f"line {self.line}: the block does not hold {old!r}")
            text = text.replace(old, new)
        return text


class Command(NamedTuple):
    """A command line: its first line on the page, and its words without comments, redirection and environment."""

    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return shlex.join(self.words)


def kind_of(language: str) -> str:
    """Return the kind of a block with this language."""
    kinds = {"": "commands", "python": "python", "text": "text"}
    if language.startswith("{"):
        return "directive"
    if language not in kinds:
        raise ValueError(f"a block of {language!r}: neither Python, nor commands, nor text")
    return kinds[language]


def blocks_of(text: str) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    comment = ""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "html_block":
            comment += token.content
        elif token.type in ("fence", "code_block"):
            kind = kind_of(token.info.strip())
            before = re.search(r"<!-- run:(.*?)-->", comment, flags=re.DOTALL)
            file = re.search(r"<!-- file: (\S+) -->", comment)
            small = re.search(r"<!-- small:(.*?)-->", comment, flags=re.DOTALL)
            named = {"file": file[1] if file else "", "small": small[1] if small else ""}
            yield Block(token.map[0] + 1, kind, token.content, before[1].strip() + "\n" if before else "", **named)
            comment = ""
        elif token.type.endswith("_open"):
            comment = ""


def commands_of(text: str) -> Iterator[Command]:
    """Yield the command lines of a page: those of its blocks, and those inside its prose.

    Raises:
        ValueError: a line of a block is neither a comment nor a command of `PROGRAMS`.
    """
    for block in blocks_of(text):
        if block.kind == "commands":
            for line, typed in _whole_lines(block):
                words = _words(typed)
                if words[:1] and words[0] not in PROGRAMS:
                    raise ValueError(f"line {line}: {typed!r} begins with none of {PROGRAMS}; mark a formula as text")
                if words:
                    yield Command(line, words)
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        for child in token.children or ():
            if child.type == "code_inline" and child.content.split()[0] in PROGRAMS and " " in child.content.strip():
                yield Command((token.map or [0])[0] + 1, _words(child.content))


def _whole_lines(block: Block) -> Iterator[tuple[int, str]]:
    """Yield the lines of a block with their numbers; a line that ends with a backslash goes on."""
    begun, number = "", 0
    for line, text in enumerate(block.text.splitlines(), block.line):
        number = number if begun else line
        begun += text
        if begun.split("#")[0].rstrip().endswith("\\"):
            begun = re.sub(r"\\\s*(#.*)?$", " ", begun)
            continue
        yield number, begun
        begun = ""


def _words(line: str) -> tuple[str, ...]:
    """Return the words of a command line without comment, redirection and variables of the environment."""
    words = shlex.split(line, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    return tuple(words[: words.index(">")] if ">" in words else words)
