"""Table of `infoplane estimate`: all estimates for one layer."""

from collections.abc import Mapping
from typing import Any

import polars as pl
from rich import box
from rich.table import Table
from rich.text import Text

from infoplane.records.tables import (
    CLASS_ENTROPY,
    ESTIMATE,
    FEWER_INFORMATION,
    FIXED_NOISE,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    MIXTURE,
    NOISY,
    RELATIVE_NOISE,
)
from infoplane.report.bits import in_bits
from infoplane.report.labels import LINEAR_ZERO, SAT, SWEPT, UNDERSAMPLED, estimator_label, estimator_order
from infoplane.report.summary import in_terminal, show_number


def estimate_table(measurements: pl.DataFrame) -> Table:
    """Return a table, in bits, of all measurements of one layer.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`, of one layer at one epoch.
    """
    rows = in_bits(measurements.with_columns(split=pl.lit("test"))).filter(~pl.col("estimator").str.ends_with(SWEPT))
    table = Table(
        title=Text(_facts(rows)),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        caption="lower, upper: a proved bound; mixture: of the measured samples with their noise, not of the "
        f"distribution that they are from. n: examples that decoders are fitted on. sat: {SAT}. lin: {LINEAR_ZERO}. "
        f"†: undersampled, {UNDERSAMPLED}. ≤ before a null: the value does not exceed what permuted labels "
        "reach (95 % quantile). ~ before a null: permuted labels give more than half of the value on average. "
        "above null: value less the null's mean.",
        caption_justify="left",
    )
    for name in ("quantity", "estimator", "kind"):
        table.add_column(name)
    for name in ("value", "ceiling", "null", "above null"):
        table.add_column(name, justify="right")
    for row in sorted(rows.to_dicts(), key=_order):
        shown = show_number(row)
        quantity = row["quantity"]
        if row["class_index"] is not None:
            quantity = quantity.replace("|y", f"|y={row['class_index']}")
        if quantity == FEWER_INFORMATION:
            quantity = f"{LABEL_INFORMATION}, n={row['samples']:,}"
        table.add_row(
            Text(quantity),
            estimator_label(row["estimator"]),
            row["kind"] + (", mixture" if row["distribution"] == MIXTURE and row["kind"] != ESTIMATE else ""),
            in_terminal(shown.value),
            "-" if row["ceiling_bits"] is None else f"{row['ceiling_bits']:.2f}",
            f"{shown.null_sign} {shown.null}".strip() if shown.null else "-",
            shown.excess or "-",
        )
    return table


def _facts(rows: pl.DataFrame) -> str:
    """Return what was measured and with which settings; the rows of a class have its own number of samples."""
    first = rows.filter(pl.col("class_index").is_null()).sort("samples", descending=True).row(0, named=True)
    samples = f"{first['samples']:,} samples"
    if first["copies"]:
        samples += f" ({first['copies']:,} are copies of others, and share folds and permutations with them)"
    facts = [samples, f"{first['features']:,} features"]
    sampled = rows.filter(pl.col("estimator") == NOISY, pl.col("samples") < first["samples"])["samples"].unique()
    facts += [f"decoders and Monte Carlo from {number:,} of the samples" for number in sampled]
    for mode, name in ((FIXED_NOISE, "noise variance"), (RELATIVE_NOISE, "relative")):
        bounds = rows.filter(noise_mode=mode, quantity=INPUT_INFORMATION).select("noise_variance", "at_most_bits")
        for variance, bound in bounds.unique().rows():
            facts.append(f"{name} {variance:.3g}" + ("" if bound is None else f" (I(X;T) at most {bound:.2f})"))
    facts += [f"bin width {width:g}" for width in rows["bin_width"].drop_nulls().unique()]
    return ", ".join(facts) + "; in bits"


def _order(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """Sort key: the most trustworthy estimator first, classes last and in their order."""
    index = row["class_index"]
    return (
        row["quantity"] == CLASS_ENTROPY,
        row["quantity"],
        -1 if index is None else index,
        estimator_order(row["estimator"]),
    )
