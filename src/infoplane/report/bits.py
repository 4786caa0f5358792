"""Convert records from nats to bits for reports, and join them to points of the information plane."""

import math

import polars as pl

from infoplane import distortions
from infoplane.estimators import resolved_noise_share
from infoplane.records.standing import RESOLVED_NATS, with_standing
from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    NOISY,
    NORMAL_TRAINING,
    ORIGINAL,
    PIXELS_INDEX,
    RANDOM,
    RELATIVE_NOISE,
)
from infoplane.report.examples import examples_order
from infoplane.report.labels import (
    NOISY_OWN,
    NOISY_RELATIVE,
    SWEPT,
    TRANSFERRED,
    TRANSFERRED_FIXED,
    TRUSTED,
    TRUSTED_FIXED,
)

# Numbers are printed with two decimals: smaller clipping is not visible.
RESOLUTION_BITS = 0.005
_SAME = 1e-9  # largest difference of two shares that are equal but for rounding

POINT_KEYS = ("seed", "training", "examples", "epoch", "layer_index", "layer", "estimator")
_SHOWN = (
    "value_bits", "drawn_bits", "clipped", "error_bits", "low_bits", "high_bits", "ceiling_bits", "null_bits",
    "null_like", "saturated", "undersampled",
)  # fmt: skip


def bits(nats: pl.Expr) -> pl.Expr:
    """Convert information in nats to bits."""
    return nats / math.log(2)


def in_bits(measurements: pl.DataFrame, *, of_distorted: bool = False) -> pl.DataFrame:
    """Return the measurements of undistorted test examples, or of distorted ones, in bits.

    `estimator`, `saturated`, `null_like`, `mostly_null` and `undersampled` are those of `standing.with_standing`.

    Added columns: `value_bits` (raw), `drawn_bits` (within [0, ceiling]), `clipped` (whether the two differ visibly),
    `error_bits` (one standard error; None if saturated), `low_bits` and `high_bits` (95 % interval; None if saturated),
    `drawn_low_bits` and `drawn_high_bits` (the same, at most the ceiling), `cut` (whether it passes the ceiling),
    `ceiling_bits`, `null_bits` (95 % quantile over permuted labels), `excess_bits` (value less the null's mean) and
    `at_most_bits` (Gaussian ceiling of I(X;T)).
    """
    saturated = pl.col("saturated")
    # values that are not finite are dropped, so that a diverged network still gets a report
    rows = with_standing(distorted(measurements) if of_distorted else undistorted(measurements)).with_columns(
        value_bits=bits(pl.col("value_nats")),
        error_bits=pl.when(~saturated).then(bits(pl.col("standard_error"))),
        low_bits=pl.when(~saturated).then(bits(pl.col("interval_low"))),
        high_bits=pl.when(~saturated).then(bits(pl.col("interval_high"))),
        ceiling_bits=bits(pl.col("ceiling_nats")),
        null_bits=bits(pl.col("null_quantile95_nats")),
        excess_bits=bits(pl.col("value_nats") - pl.col("null_mean_nats")),
        at_most_bits=bits(pl.col("gaussian_ceiling_nats")),
    )
    ceiling = pl.col("ceiling_bits")
    rows = rows.with_columns(
        # min_horizontal ignores nulls, so it would turn an interval that is not known into the ceiling
        pl.when(pl.col(end).is_not_null()).then(pl.min_horizontal(end, ceiling)).alias(f"drawn_{end}")
        for end in ("low_bits", "high_bits")
    ).with_columns(cut=(pl.col("high_bits") - ceiling > RESOLUTION_BITS).fill_null(value=False))
    bounded = pl.min_horizontal(pl.col("value_bits"), pl.col("ceiling_bits"))  # no ceiling, no upper limit
    return rows.with_columns(drawn_bits=pl.max_horizontal(bounded, pl.lit(0.0))).with_columns(
        clipped=(pl.col("value_bits") - pl.col("drawn_bits")).abs() > RESOLUTION_BITS
    )


def undistorted(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of undistorted test examples, of measurements or geometry."""
    return table.filter(pl.col("distortion").is_null(), pl.col("split") == "test")


def distorted(table: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of distorted test examples, of measurements, geometry or performance."""
    return table.filter(pl.col("distortion").is_not_null(), pl.col("split") == "test")


def noisy_name(rows: pl.DataFrame) -> str:
    """Return the name of the preferred Monte Carlo I(X;T): at relative noise, or else at the fixed noise.

    Args:
        rows: as `in_bits` returns them.
    """
    return NOISY_RELATIVE if NOISY_RELATIVE in rows["estimator"] else NOISY


def trusted_planes(points: pl.DataFrame) -> tuple[str, str] | None:
    """Return the names of the planes with refitted decoders and with decoders trained on clean; None without any.

    Args:
        points: as `plane_points` returns them.
    """
    planes = ((TRUSTED, TRANSFERRED), (TRUSTED_FIXED, TRANSFERRED_FIXED))
    return next((pair for pair in planes if pair[0] in points["estimator"]), None)


def own_noise_layers(rows: pl.DataFrame) -> list[str]:
    """Return the layers, from input to output, that are measured at the noise that the network itself adds to them.

    Args:
        rows: as `in_bits` returns them.
    """
    return [name for _, name in layers_of(rows.filter(pl.col("estimator") == NOISY_OWN))]


def relative_noise_text(rows: pl.DataFrame) -> str:
    """Say how large the relative noise is, e.g. "1/9.0 of the layer's total variance".

    Args:
        rows: as `in_bits` returns them.
    """
    found = rows.filter(pl.col("noise_mode") == RELATIVE_NOISE)
    if found.is_empty():
        return "not measured"
    shares = (found["noise_ratio"] / found["features"]).to_list()
    is_default = math.isclose(shares[0], resolved_noise_share(found["samples"][0]))
    if max(shares) - min(shares) < _SAME and (is_default or found["noise_ratio"].n_unique() > 1):
        return f"1/{1 / shares[0]:.1f} of the layer's total variance"
    ratios = sorted({f"{ratio:.4g}" for ratio in found["noise_ratio"]}, key=float)
    span = ratios[0] if len(ratios) == 1 else f"{ratios[0]} to {ratios[-1]}"
    return f"{span} times the layer's mean variance per unit"


def resolution_text(rows: pl.DataFrame) -> str:
    """Say in which layers the relative noise keeps I(X;T) away from log N, e.g. "300 examples resolve every layer".

    Args:
        rows: as `in_bits` returns them.
    """
    relative = rows.filter(noise_mode=RELATIVE_NOISE, quantity=INPUT_INFORMATION)
    own = last_epoch(relative.filter(pl.col("at_most_bits").is_not_null()))
    if own.is_empty():
        return ""
    examples, unresolved = own["samples"].to_numpy().max(), own.filter(~pl.col("resolved"))
    if unresolved.is_empty():
        return f"{examples} examples resolve every layer"
    names = ", ".join(name for _, name in layers_of(unresolved, pixels=True))
    return f"{examples} examples may not resolve {names}: there I(X;T) can come within {RESOLVED_NATS:g} nats of log N"


def plane_points(rows: pl.DataFrame) -> pl.DataFrame:
    """Join I(X;T) and I(T;Y) of the same estimator into points of the information plane, in the order of epochs.

    Decoders give I(T;Y) only. Their values are joined with the Monte Carlo I(X;T) at relative noise: as `TRUSTED` for
    refitted decoders, and as `TRANSFERRED` for decoders trained on original examples. Without relative noise the fixed
    noise is used, and the names are `TRUSTED_FIXED` and `TRANSFERRED_FIXED`. In layers to which the network itself adds
    noise, I(X;T) is that at this noise.

    Args:
        rows: as `in_bits` returns them.

    Returns:
        The columns `POINT_KEYS`, then every shown number twice: `input_value_bits`, `label_value_bits` ...
    """
    rows = rows.filter(pl.col("class_index").is_null(), ~pl.col("estimator").str.ends_with(SWEPT))

    def side(quantity: str, prefix: str, *more: tuple[pl.Expr, str]) -> pl.DataFrame:
        of_quantity = rows.filter(pl.col("quantity") == quantity)
        renamed = [of_quantity.filter(chosen).with_columns(estimator=pl.lit(name)) for chosen, name in more]
        shown = [pl.col(name).alias(f"{prefix}_{name}") for name in _SHOWN]
        chosen = pl.concat([of_quantity, *renamed]).select(*POINT_KEYS, *shown)
        return chosen.unique(POINT_KEYS, keep="first", maintain_order=True)

    name = noisy_name(rows)
    noisy, decoded = pl.col("estimator") == name, pl.col("estimator") == DECODED
    own = pl.col("estimator") == NOISY_OWN  # first: of two values for one point the first is kept
    transferred = pl.col("estimator") == DECODED_TRANSFER
    if not rows.filter(transferred).is_empty():
        transferred |= decoded & (pl.col("examples") == ORIGINAL)
    trusted, moved = f"{name}+{DECODED}", f"{name}+{DECODED_TRANSFER}"
    inputs = side(INPUT_INFORMATION, "input", (own, trusted), (noisy, trusted), (own, moved), (noisy, moved))
    labels = side(LABEL_INFORMATION, "label", (decoded, trusted), (transferred, moved))
    points = inputs.join(labels, on=POINT_KEYS, how="inner")
    return points.sort("seed", "training", "layer_index", "estimator", "examples", "epoch")


def last_epoch(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of each training's last measured epoch."""
    return rows.filter(pl.col("epoch") == pl.col("epoch").max().over("seed", "training"))


def layers_of(rows: pl.DataFrame, *, pixels: bool = False) -> list[tuple[int, str]]:
    """Return (index, name) of each measured layer, from input to output.

    Args:
        rows: with columns `layer_index` and `layer`.
        pixels: also return the raw pixels, first. They are measured at the last epoch only.
    """
    own = rows if pixels else rows.filter(pl.col("layer_index") != PIXELS_INDEX)
    return own.select("layer_index", "layer").unique().sort("layer_index", "layer").rows()


def examples_of(rows: pl.DataFrame, *, control: bool = False) -> list[str]:
    """Return the kinds of examples: original ones, those of the recipe's attack, then other attacks by name.

    Args:
        rows: with a column `examples`.
        control: also return the randomly perturbed ones, last. They are measured at the last epoch only.
    """
    return sorted((name for name in rows["examples"].unique() if control or name != RANDOM), key=examples_order)


def distortions_of(rows: pl.DataFrame) -> dict[str, list[float]]:
    """Return the levels of each measured distortion, beginning with the one that changes nothing."""
    found: dict[str, list[float]] = {}
    for distortion in distortions.DISTORTIONS:
        levels = rows.filter(pl.col("distortion") == distortion.name)["level"].unique().to_list()
        if levels:
            found[distortion.name] = distortion.ordered(levels)
    return found


def level_label(level: float) -> str:
    """Write a level, e.g. "8", "0.5" or "∞"."""
    return "∞" if math.isinf(level) else f"{level:g}"


def trainings_of(*tables: pl.DataFrame) -> list[tuple[int, str]]:
    """Return (seed, training) of all records, normal training first within a seed."""
    found = {pair for table in tables for pair in table.select("seed", "training").unique().rows()}
    return sorted(found, key=lambda pair: (pair[0], pair[1] != NORMAL_TRAINING, pair[1]))
