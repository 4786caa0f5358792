"""The table of `infoplane estimate`: everything about one layer."""

import polars as pl
from rich import box
from rich.table import Table
from rich.text import Text

from infoplane.records import BINNING, CLASS_ENTROPY, KDE_BD, KDE_KL, KDE_MIXED
from infoplane.report.bits import in_bits
from infoplane.report.summary import show_number

_NAMES = {
    KDE_KL: "KDE, Kullback-Leibler",
    KDE_BD: "KDE, Bhattacharyya",
    KDE_MIXED: "KDE, proved bounds",
    BINNING: "binning",
}


def estimate_table(measurements: pl.DataFrame) -> Table:
    """Return a table, in bits, of all measurements of one layer.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`, of one layer at one epoch.
    """
    rows = in_bits(measurements.with_columns(split=pl.lit("test"))).sort("quantity", "class_index", nulls_last=False)
    facts: dict[str, float] = {
        name: rows[name].drop_nulls().sort()[-1] for name in ("samples", "features", "noise_variance", "bin_width")
    }
    table = Table(
        title=Text(
            "{samples:,} samples, {features:,} features; noise variance {noise_variance:g}, bin width {bin_width:g}; "
            "in bits".format(**facts)
        ),
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        caption="sat: above 95 % of the ceiling. null: 95 % quantile over permuted labels; a value within (~) "
        "says nothing about the labels.",
        caption_justify="left",
    )
    for name in ("quantity", "estimator", "kind"):
        table.add_column(name)
    for name in ("value", "ceiling", "null"):
        table.add_column(name, justify="right")
    ordered = [row for row in rows.to_dicts() if row["quantity"] != CLASS_ENTROPY]
    ordered += [row for row in rows.to_dicts() if row["quantity"] == CLASS_ENTROPY]
    for row in ordered:
        shown = show_number(row)
        quantity = row["quantity"]
        if row["class_index"] is not None:
            quantity = quantity.replace("|y", f"|y={row['class_index']}")
        table.add_row(
            Text(quantity),
            _NAMES.get(row["estimator"], row["estimator"]),
            row["kind"],
            f"{shown.value}{' ~' if shown.null_like else ''}",
            "-" if row["ceiling_bits"] is None else f"{row['ceiling_bits']:.2f}",
            shown.null or "-",
        )
    return table
