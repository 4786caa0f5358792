"""Markdown: paragraphs, lists and tables, and what commands print in a terminal."""

import textwrap
from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

WIDTH = 100


def wrapped(text: str) -> str:
    """Return a paragraph in lines that a reader of the source can read."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def bullets(items: Iterable[str]) -> str:
    """Return a list."""
    return "\n".join(
        textwrap.fill(f"- {one}", WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for one in items
    )


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table."""
    lines = [list(columns), *map(list, rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def from_terminal(shown: RenderableType) -> Iterator[str]:
    """Yield what a command prints: sentences as paragraphs, tables with their titles and captions."""
    if isinstance(shown, Group):
        for one in shown.renderables:
            yield from from_terminal(one)
    elif isinstance(shown, Table):
        yield from paragraphs(shown.title, bold=True)
        heads = [plain(column.header) for column in shown.columns]
        yield table(heads, zip(*([plain(cell) for cell in column.cells] for column in shown.columns), strict=True))
        yield from paragraphs(shown.caption)
    else:
        yield from paragraphs(shown)


def paragraphs(shown: RenderableType | None, *, bold: bool = False) -> Iterator[str]:
    """Yield a text as paragraphs, each of its list items as one."""
    text = " ".join(plain(shown).split())
    if text:
        yield textwrap.fill(f"**{text}**" if bold else text, WIDTH, subsequent_indent="  " * text.startswith("- "))


def plain(shown: RenderableType | None) -> str:
    """Return a text without its style."""
    if shown is None:
        return ""
    if not isinstance(shown, str | Text):
        raise TypeError(f"expected a text, got {type(shown).__name__}")
    return str(shown).strip()
