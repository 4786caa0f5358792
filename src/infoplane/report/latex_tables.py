"""Tables of a run for a paper: accuracy, information of the layers, and the study's claims, as LaTeX."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from infoplane.findings import Findings
from infoplane.findings.accuracies import accuracy_ends, accuracy_of
from infoplane.records.tables import DECODED, DECODED_TRANSFER, INPUT_INFORMATION, KDE_BD, LABEL_INFORMATION
from infoplane.report.bits import examples_of, in_bits, last_epoch, layers_of, noisy_name, trainings_of
from infoplane.report.findings_table import deciding_number
from infoplane.report.labels import NOISY_OWN, RELATIVE, curve_label, curve_order, estimator_label
from infoplane.report.latex import Row, latex_number, latex_table, latex_text
from infoplane.report.summary import show_bits

_INTERVALS = r"In brackets: 95\,\% intervals."
_RUN = r"The last column is the hash of the run's settings and records."
_MOST_ROWS = 40  # of a table that fits on a page
_MARKS = {"saturated": "s", "undersampled": "u", "null_like": "n"}
_MEANINGS = {
    "s": "at the ceiling, so the estimator ran out of examples or labels",
    "u": "undersampled: the estimate changes when half of the examples are dropped",
    "n": "no higher than what permuted labels reach",
}


class About(NamedTuple):
    """The run that tables come from."""

    name: str
    hash: str
    version: str

    def comment(self) -> str:
        """Return the lines above a table."""
        name = " ".join(self.name.split())
        return f"infoplane {self.version}, run {self.hash}: {name}\nneeds \\usepackage{{booktabs,graphicx}}"


def accuracy_latex(performance: pl.DataFrame, about: About) -> str:
    """Return the accuracies at the last epoch, a row per training and seed, with Wilson intervals.

    Args:
        performance: undistorted, columns of `records.PERFORMANCE_SCHEMA`.
        about: the run.
    """
    rows = last_epoch(performance)
    curves = sorted(rows.select("split", "examples").unique().rows(), key=lambda curve: curve_order(*curve))
    lines = []
    for seed, training in trainings_of(rows):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training)
        cells = {curve: _accuracy(own.filter(split=curve[0], examples=curve[1])) for curve in curves}
        first = [latex_text(training), str(seed), str(own["epoch"][0])]
        lines.append(Row([*first, *cells.values(), _hash(about)]))
    return latex_table(
        ["Training", "Seed", "Epoch", *(latex_text(curve_label(*curve)) for curve in curves), "Run"],
        lines,
        columns=f"lrr{'r' * len(curves)}l",
        caption=rf"Accuracy in per cent at the last epoch ({latex_text(about.name)}). {_INTERVALS} {_RUN}",
        label="tab:accuracy",
        comment=about.comment(),
    )


def _accuracy(rows: pl.DataFrame) -> str:
    if rows.is_empty():
        return "--"
    accuracy = accuracy_of(rows)
    low, high = accuracy_ends(accuracy)
    return f"{100 * accuracy.value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def information_latex(measurements: pl.DataFrame, about: About) -> str:
    """Return the information of each layer at the last epoch, in bits, a row per training, seed, layer and examples.

    A long table is divided into several, each of which fits on a page.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        about: the run.
    """
    rows = last_epoch(in_bits(measurements)).filter(pl.col("class_index").is_null())
    columns = _columns(rows)
    lines, marks = [], set()
    for seed, training in trainings_of(rows):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training)
        begins = True
        for index, layer in layers_of(own, pixels=True):
            of_layer = own.filter(pl.col("layer_index") == index)
            for examples in examples_of(of_layer, control=True):
                found = {
                    (row["quantity"], row["estimator"]): row for row in of_layer.filter(examples=examples).to_dicts()
                }
                shown = [found.get(column) for column in columns]
                first = map(latex_text, (training, str(seed), layer, examples))
                marks |= {mark for row in shown if row for mark in _marks_of(row)}
                lines.append(Row([*first, *map(_information, shown), _hash(about)], begins))
                begins = False
    meanings = "".join(rf" \textsuperscript{{{mark}}}: {_MEANINGS[mark]}." for mark in sorted(marks))
    parts = _parts(lines)
    return "\n".join(
        latex_table(
            ["Training", "Seed", "Layer", "Examples", *(_head(*column) for column in columns), "Run"],
            part,
            columns=f"lrll{'r' * len(columns)}l",
            caption=rf"Information of the layers in bits at the last epoch ({latex_text(about.name)})"
            + (f", part {number} of {len(parts)}" if len(parts) > 1 else "")
            + rf". {_INTERVALS}{meanings} {_RUN}",
            label="tab:information" + (f"-{number}" if number > 1 else ""),
            comment=about.comment(),
        )
        for number, part in enumerate(parts, 1)
    )


def _parts(rows: Sequence[Row]) -> list[list[Row]]:
    """Divide rows into tables of at most `_MOST_ROWS`, between networks where these have no more."""
    blocks: list[list[Row]] = []
    for row in rows:
        if row.begins or not blocks or len(blocks[-1]) == _MOST_ROWS:
            blocks.append([])
        blocks[-1].append(row)
    parts: list[list[Row]] = [[]]
    for block in blocks:
        if parts[-1] and len(parts[-1]) + len(block) > _MOST_ROWS:
            parts.append([])
        parts[-1] += block
    return parts


def _columns(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """Return (quantity, estimator) of the most trustworthy numbers; those of the study where there are no others."""
    measured = set(rows.select("quantity", "estimator").rows())
    wanted = {
        INPUT_INFORMATION: ([NOISY_OWN, noisy_name(rows), KDE_BD + RELATIVE], KDE_BD),
        LABEL_INFORMATION: ([DECODED, DECODED_TRANSFER], KDE_BD),
    }
    columns = []
    for quantity, (first, otherwise) in wanted.items():
        own = [(quantity, name) for name in first if (quantity, name) in measured]
        columns += own or [pair for pair in [(quantity, otherwise)] if pair in measured]
    return columns


def _head(quantity: str, estimator: str) -> str:
    name = latex_text(estimator_label(estimator, quantity)).replace(", ", r"\\").replace(" (", r"\\(")
    return rf"\shortstack[r]{{{latex_text(quantity)}\\{name}}}"


def _marks_of(row: Mapping[str, Any]) -> list[str]:
    return [mark for name, mark in _MARKS.items() if row[name]]


def _information(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "--"
    interval = "" if row["low_bits"] is None else f" [{show_bits(row['low_bits'])}, {show_bits(row['high_bits'])}]"
    marks = ",".join(_marks_of(row))
    return latex_number(show_bits(row["value_bits"]) + interval) + (rf"\textsuperscript{{{marks}}}" if marks else "")


def claims_latex(found: Findings, about: About) -> str:
    """Return the verdict on each claim of the study, with a number that decides it and its interval."""
    lines = [
        Row([latex_text(cell) for cell in (one.claim, one.statement, one.verdict, deciding_number(one, found))])
        for one in found.claims
    ]
    return latex_table(
        ["Claim", "In words", "Verdict", "Number that decides", "Run"],
        [Row([*row.cells, _hash(about)]) for row in lines],
        columns=r"lp{0.35\linewidth}lp{0.3\linewidth}l",
        caption=rf"Whether the claims of Zhang et al.\ (2022) hold in this run ({latex_text(about.name)}). "
        rf"{_INTERVALS} {_RUN}",
        label="tab:claims",
        comment=about.comment(),
    )


def _hash(about: About) -> str:
    return rf"\texttt{{{about.hash}}}"


def latex_tables(
    measurements: pl.DataFrame, performance: pl.DataFrame, found: Findings | None, about: About
) -> Sequence[tuple[str, str]]:
    """Return the name and the content of each table; those without records are left out."""
    tables = []
    undistorted = performance.filter(pl.col("distortion").is_null())
    if not undistorted.is_empty():
        tables.append(("accuracy", accuracy_latex(undistorted, about)))
    if not in_bits(measurements).is_empty():
        tables.append(("information", information_latex(measurements, about)))
    return [*tables, ("claims", claims_latex(found, about))] if found else tables
