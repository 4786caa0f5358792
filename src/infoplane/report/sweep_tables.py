"""Terminal tables of study three, in bits: which estimates rise along each sweep, and where the limits end."""

import math
from collections.abc import Mapping
from typing import Any

import polars as pl
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from infoplane.records.standing import HELD_OUT
from infoplane.records.sweeps import (
    BINS,
    CLOSED_FORM,
    CONTINUOUS_LIMIT,
    DIMENSION,
    DIMENSION_FIXED,
    DISCRETE_LIMIT,
    NOISE,
    PURITY,
    SAMPLES,
    SAMPLES_APART,
    SPREAD,
    TIGHTNESS,
)
from infoplane.records.tables import INPUT_INFORMATION, KSG, LABEL_INFORMATION
from infoplane.report.labels import estimator_label
from infoplane.report.sweep_curves import averaged

_SWEEPS = {
    SPREAD: "overall spread, fixed arrangement of classes: standard deviation",
    TIGHTNESS: "tightness of classes, equal total variance: share of it between classes",
    PURITY: "purity of labels, equal points: share of labels that give the cluster",
    NOISE: "noise variance",
    BINS: "bin width",
    SAMPLES: "number of points, close together",
    SAMPLES_APART: "number of points, far apart",
    DIMENSION: "units, all but ten of noise",
    DIMENSION_FIXED: "units, channel of fixed capacity, independent labels",
}
_LIMITS = {DISCRETE_LIMIT: "layer of eight values", CONTINUOUS_LIMIT: "continuous layer"}
_BITS = 1 / math.log(2)
_LEGEND = (
    "first -> last value of each sweep in bits, mean over draws. truth: likewise, of what the estimator aims at,\n"
    "noise or bins included. sat: share of saturated values, where a curve only shows its ceiling.\n"
    "rises, falls: some step is beyond chance and none goes the other way; turns: both ways; level: within 0.07 bits\n"
    "of its start."
)


def trend_table(trends: pl.DataFrame) -> Group:
    """Return a table of start, end and direction of each estimator in each sweep; it fits 120 columns.

    Args:
        trends: as `studies.sweeps.trends.trends` returns them.
    """
    parts: list[Table | Text] = []
    for (sweep,), of_sweep in trends.group_by("sweep", maintain_order=True):
        ends = f"from {of_sweep['first_x'][0]:g} to {of_sweep['last_x'][0]:g}"
        table = Table(
            title=f"\n{_SWEEPS[str(sweep)]}, {ends}", title_justify="left", title_style="bold", box=None,
            show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim",
        )  # fmt: skip
        table.add_column("estimator", width=11)
        for quantity in (INPUT_INFORMATION, LABEL_INFORMATION):
            for name, width in ((quantity, 14), ("truth", 15), ("sat", 4)):
                table.add_column(name, justify="right", width=width)
            table.add_column("", width=8)
        for (estimator,), pair in of_sweep.group_by("estimator", maintain_order=True):
            by_quantity = {row["quantity"]: row for row in pair.to_dicts()}
            cells = [_trend_cells(by_quantity.get(quantity)) for quantity in (INPUT_INFORMATION, LABEL_INFORMATION)]
            table.add_row(estimator_label(str(estimator)), *cells[0], *cells[1])
        parts.append(table)
    return Group(*parts, Text(f"\n{_LEGEND}", style="dim"))


def _trend_cells(row: Mapping[str, Any] | None) -> list[Text]:
    if row is None:
        return [Text("-"), Text("-"), Text("-"), Text("")]
    truth = "-"
    if row["first_truth_nats"] is not None and row["last_truth_nats"] is not None:
        truth = f"{row['first_truth_nats'] * _BITS:.2f} -> {row['last_truth_nats'] * _BITS:.2f}"
    saturated = "-" if row["estimator"] in HELD_OUT else f"{row['saturated_share']:.0%}"
    style = "yellow" if row["direction"] == "unclear" else "bold"
    return [
        Text(f"{row['first_nats'] * _BITS:.2f} -> {row['last_nats'] * _BITS:.2f}"),
        Text(truth, style="dim"),
        Text(saturated),
        Text(row["direction"], style=style),
    ]


def limits_table(measurements: pl.DataFrame) -> Table:
    """Return a table of each estimate and its true value at three widths of the noise; it fits 120 columns.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`, as the study of the limits fills them.
    """
    rows = averaged(measurements.filter(pl.col("quantity") == INPUT_INFORMATION))
    widths = rows["x"].unique().sort()
    shown = sorted({widths[0], widths[len(widths) // 2], widths[-2]}, reverse=True)
    samples = measurements.filter(pl.col("estimator") != CLOSED_FORM)["samples"][0]
    table = Table(
        title=f"I(X;T) as the noise vanishes, in bits; log N = {math.log2(samples):.2f}", title_justify="left",
        title_style="bold", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, caption_justify="left",
        caption="value (truth), b the width of a box, of a bin, or of a box with the variance of the Gaussian noise. "
        "A layer of a few values ends at H(T); a continuous one has no end, and its estimates end at log N or below.",
    )  # fmt: skip
    table.add_column("estimator", no_wrap=True)
    for width in shown:
        table.add_column(f"b = {width:.3g}", justify="right", no_wrap=True)
    for sweep, name in _LIMITS.items():
        table.add_section()
        table.add_row(Text(name, style="bold"))
        of_sweep = rows.filter(pl.col("sweep") == sweep).sort(pl.col("estimator") != CLOSED_FORM, maintain_order=True)
        for (estimator,), own in of_sweep.group_by("estimator", maintain_order=True):
            at = {row["x"]: row for row in own.to_dicts()}
            label = {CLOSED_FORM: "closed form, box", KSG: "KSG, box"}.get(str(estimator)) or estimator_label(
                str(estimator)
            )
            table.add_row(f"  {label}", *(_limit_cell(at[width], str(estimator)) for width in shown))
    return table


def _limit_cell(row: Mapping[str, Any], estimator: str) -> Text:
    if estimator == CLOSED_FORM:
        return Text(f"{row['mean_bits']:.2f}        ", style="bold")
    return Text.assemble(f"{row['mean_bits']:.2f} ", (f"({row['truth_bits']:.2f})".rjust(7), "dim"))
