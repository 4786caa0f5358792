"""Tables and verdicts of `infoplane bottleneck` as Markdown."""

import math

import polars as pl

from infoplane.findings.bottleneck import Judged
from infoplane.report.bottleneck_table import INFORMATION, cells_of, notes_on, percent, place_heads, rows_of, values_of


def bottleneck_page(numbers: pl.DataFrame, found: Judged) -> str:
    """Return a table of accuracies for each radius, one of information, and both verdicts with their differences.

    Args:
        numbers: columns of `records.bottleneck.BOTTLENECK_SCHEMA`.
        found: verdicts on the claims.
    """
    heads = [f"{value:g}" for value in values_of(numbers)]
    parts = []
    for epsilon in numbers["epsilon"].drop_nulls().unique().sort():
        own, places = numbers.filter(pl.col("epsilon") == epsilon), place_heads(numbers)
        rows = []
        for path, attack in rows_of(numbers, epsilon):
            of_row = own.filter(pl.col("path") == path, pl.col("attack") == attack)
            rows.append([*(path, attack)[-len(places) :], *cells_of(numbers, of_row, 100, 1)])
        parts += [
            f"Accuracy in %, epsilon {epsilon:g}, {own['n'][0]} images, mean over seeds "
            f"{', '.join(map(str, own['seed'].unique().sort()))} [95 % interval]:",
            _table([*places, *heads], rows),
        ]
    rows = []
    for quantity, name in INFORMATION.items():
        own = numbers.filter(pl.col("quantity") == quantity)
        if not own.is_empty():
            rows.append([name, *cells_of(numbers, own, 1 / math.log(2), 2)])
    parts += ["Information in bits, mean over seeds [95 % interval]:", _table(["quantity", *heads], rows)]
    parts += [f"{line[0].upper()}{line[1:]}." for line in notes_on(numbers)]
    for verdict in found.verdicts:
        parts.append(f"**{verdict.statement}** {verdict.verdict}: {verdict.reason}.")
        own_findings = [one for one in found.findings if one.claim == verdict.claim]
        if own_findings:
            parts.append("\n".join(f"- {one.statistic}: {percent(one)}" for one in own_findings))
    return "\n\n".join(parts) + "\n"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [heads, ["---"] * len(heads), *rows])
