"""Text and tables as LaTeX, for the packages booktabs and graphicx."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': "{''}", "±": r"$\pm$", "∞": r"$\infty$", "≤": r"$\le$",
    "≥": r"$\ge$", "→": r"$\rightarrow$", "…": r"\dots{}", "ε": r"$\varepsilon$", "·": r"$\cdot$", "“": "``", "”": "''",
    "\N{MINUS SIGN}": "$-$", "\N{MULTIPLICATION SIGN}": r"$\times$", "\N{EN DASH}": "--", "\N{EM DASH}": "---",
    "\N{LEFT SINGLE QUOTATION MARK}": "`", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    # after the end of a line, LaTeX would read these two as arguments
    "[": "{[}", "*": "{*}",
    **{character: "\\" + character for character in "&%#$_{}"},
}  # fmt: skip
_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
_LAST_LATIN = 0x17F  # LaTeX sets letters up to here in its usual encoding


class Row(NamedTuple):
    """A line of a table: cells that are LaTeX already, and whether a rule stands above it."""

    cells: Sequence[str]
    begins: bool = False


def latex_text(text: str) -> str:
    """Return text whose characters LaTeX prints and does not read as commands.

    Letters that LaTeX cannot set without further packages are written by their number, e.g. "U+6F22".
    """
    return "".join(_character(one) for one in unicodedata.normalize("NFC", text))


def _character(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if one.isspace():
        return " "
    if one.isascii():
        return one if one.isprintable() else "?"
    return one if one.isalpha() and ord(one) <= _LAST_LATIN else f"U+{ord(one):04X}"


def latex_number(text: str) -> str:
    """Return a number or an interval as LaTeX, with a true minus sign."""
    return text.replace("-", "$-$")


def latex_table(
    heads: Sequence[str], rows: Sequence[Row], *, columns: str, caption: str, label: str, comment: str
) -> str:
    """Return a table in the style of booktabs; one that is wider than the page is scaled down to it.

    Args:
        heads: of the columns, as LaTeX.
        rows: a cell for each head.
        columns: of the `tabular`, e.g. "llrr".
        caption: as LaTeX.
        label: for `\\ref`.
        comment: stands above the table in lines that LaTeX does not read.
    """
    assert all(len(row.cells) == len(heads) for row in rows)
    lines = [f"% {line}" for line in comment.splitlines()]
    lines += [
        r"\begin{table}", r"\centering\small", rf"\caption{{{caption}}}", rf"\label{{{label}}}",
        _FITTED, rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(heads), r"\midrule",
    ]  # fmt: skip
    for number, row in enumerate(rows):
        lines += [r"\midrule"] if row.begins and number else []
        lines.append(_line(row.cells))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}}", r"\end{table}"]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
