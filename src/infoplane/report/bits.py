"""Records as a reader sees them. This is the one place where nats become bits."""

import math

import polars as pl

from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.records import INPUT_INFORMATION, LABEL_INFORMATION

# Numbers are printed with two decimals: what is clipped by less looks as it is.
RESOLUTION_BITS = 0.005

POINT_KEYS = ("seed", "training", "examples", "epoch", "layer_index", "layer", "estimator")
_SHOWN = (
    "value_bits", "drawn_bits", "clipped", "error_bits", "ceiling_bits", "null_bits", "null_like", "saturated",
)  # fmt: skip


def bits(nats: pl.Expr) -> pl.Expr:
    """Convert information in nats to bits."""
    return nats / math.log(2)


def in_bits(measurements: pl.DataFrame) -> pl.DataFrame:
    """Return the measurements of undistorted test examples, with their numbers in bits.

    Added columns: `value_bits` (raw), `drawn_bits` (within [0, ceiling]), `clipped` (whether the two differ visibly),
    `error_bits` (one standard error; None where saturated, as a ceiling has no spread to report), `ceiling_bits`,
    `null_bits` (95 % quantile over permuted labels) and `null_like` (no higher than that quantile).
    """
    rows = measurements.filter(pl.col("distortion").is_null(), pl.col("split") == "test")
    rows = rows.filter(pl.col("value_nats").is_finite())  # a diverged network still gets a report
    rows = rows.with_columns(
        value_bits=bits(pl.col("value_nats")),
        error_bits=pl.when(~pl.col("saturated")).then(bits(pl.col("standard_error"))),
        ceiling_bits=bits(pl.col("ceiling_nats")),
        null_bits=bits(pl.col("null_quantile95_nats")),
    )
    bounded = pl.min_horizontal(pl.col("value_bits"), pl.col("ceiling_bits"))  # a missing ceiling bounds nothing
    return rows.with_columns(drawn_bits=pl.max_horizontal(bounded, pl.lit(0.0))).with_columns(
        clipped=(pl.col("value_bits") - pl.col("drawn_bits")).abs() > RESOLUTION_BITS,
        null_like=(pl.col("value_nats") <= pl.col("null_quantile95_nats") + NUMERICAL_ERROR).fill_null(value=False),
    )


def plane_points(rows: pl.DataFrame) -> pl.DataFrame:
    """Join I(X;T) and I(T;Y) of the same estimator into points of the information plane, in the order of epochs.

    Args:
        rows: as `in_bits` returns them.

    Returns:
        The columns `POINT_KEYS`, then every shown number twice: `input_value_bits`, `label_value_bits` ...
    """

    def side(quantity: str, prefix: str) -> pl.DataFrame:
        chosen = rows.filter(pl.col("quantity") == quantity, pl.col("class_index").is_null())
        shown = [pl.col(name).alias(f"{prefix}_{name}") for name in _SHOWN]
        return chosen.select(*POINT_KEYS, *shown).unique(POINT_KEYS, keep="first", maintain_order=True)

    points = side(INPUT_INFORMATION, "input").join(side(LABEL_INFORMATION, "label"), on=POINT_KEYS, how="inner")
    return points.sort("seed", "training", "layer_index", "estimator", "examples", "epoch")


def last_epoch(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of each training's last measured epoch."""
    return rows.filter(pl.col("epoch") == pl.col("epoch").max().over("seed", "training"))


def layers_of(rows: pl.DataFrame) -> list[tuple[int, str]]:
    """Return (index, name) of each measured layer, from input to output."""
    return rows.select("layer_index", "layer").unique().sort("layer_index", "layer").rows()


def examples_of(rows: pl.DataFrame) -> list[str]:
    """Return the kinds of examples, "original" first."""
    return sorted(rows["examples"].unique(), key=lambda name: (name != "original", name))


def trainings_of(*tables: pl.DataFrame) -> list[tuple[int, str]]:
    """Return (seed, training) of everything that was recorded, "normal" first within a seed."""
    found = {pair for table in tables for pair in table.select("seed", "training").unique().rows()}
    return sorted(found, key=lambda pair: (pair[0], pair[1] != "normal", pair[1]))
