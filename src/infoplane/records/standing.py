"""Reliability of a number: is it saturated, null-like, mostly null or undersampled?

Only this module decides it, for one number (`saturated`, `null_like`, `mostly_null`, `undersampled`) and for tables of
records (`with_standing`). Records, findings, tables and figures use these functions, so that a value has the same marks
wherever it is shown.

- saturated: the value lies above `SATURATED_SHARE` of its ceiling, or it is a Monte Carlo I(X;T) within `NEAR_NATS` of
  its ceiling, where such an estimate is too low because samples are too few. Values of held-out decoders are never
  saturated: they are lower bounds on examples that the decoder has not seen, and valid also near H(Y). The lower KDE
  bound of I(X;T), at noise in proportion to the layer, has a lower ceiling than log N (`_lower_bound_ceiling`).
- null-like: the value is no higher than the 95 % quantile of permuted labels.
- mostly null: permuted labels give more than half of the value on average. The value exceeds them, but most of it is
  what the estimator memorises.
- linear zero: a linear decoder finds nothing, since the 95 % interval of its value reaches 0. The layer may still
  encode the label in another way, which `DECODED_BEST` may find.
- undersampled: the estimator shows that samples are too few, e.g. its value changes when half of them are dropped.
- resolved: an upper bound keeps I(X;T) at this noise `RESOLVED_NATS` below its ceiling, whatever the estimate is.
"""

from typing import Any

import polars as pl

from infoplane.records.tables import (
    DECODED,
    DECODED_BEST,
    DECODED_TRANSFER,
    FIXED_NOISE,
    INPUT_INFORMATION,
    KDE_BD,
    LABEL_INFORMATION,
    NOISY,
    RELATIVE_NOISE,
    SWEPT_NOISE,
)

NUMERICAL_ERROR = 1e-3  # nats: largest rounding error of the estimators; smaller differences mean nothing
SATURATED_SHARE = 0.95  # of the ceiling
NULL_SHARE = 0.5  # of the value
NEAR_NATS = 3.0  # a Monte Carlo I(X;T) this near to its ceiling is too low, because samples are too few
# If values from all samples and from half of them differ by more than half a standard error, the bias exceeds what the
# error states. For Monte Carlo values the bias with half of the samples is 1.4 to 2 times that with all (measured for
# Gaussian layers of 2 to 2,000 features up to 2 nats below log N).
NOTICED = 0.5
# The interval of a Monte Carlo I(X;T) covers its bias, so a bias below this share of the value is no mark. Without it
# more samples would mark more values: the error falls faster than the bias.
SMALL_SHARE = 0.02
HELD_OUT = (
    DECODED,
    DECODED_BEST,
    DECODED_TRANSFER,
)  # estimators whose values come from examples that they were not fitted on
RESOLVED_NATS = 4.0  # below its ceiling the bias of a Monte Carlo I(X;T) is small against its error
MONTE_CARLO = (NOISY, INPUT_INFORMATION)


def saturated(value: float, ceiling: float | None, *, estimator: str = "", quantity: str = "") -> bool:
    """Return whether a value is so near its ceiling that it reflects the number of samples or labels, not the layer.

    With a ceiling of 0 a value is saturated. An estimate without a ceiling (`None`) is never saturated.

    Args:
        value: in nats.
        ceiling: in nats.
        estimator: its name in the records; the rule depends on it.
        quantity: its name in the records; the rule depends on it.
    """
    if ceiling is None or estimator in HELD_OUT:
        return False
    near = (estimator, quantity) == MONTE_CARLO and _is_near(value, ceiling)
    return bool(near or _fills(value, ceiling))


def null_like(value: float, quantile95: float) -> bool:
    """Return whether a value exceeds the 95 % quantile of permuted labels by no more than `NUMERICAL_ERROR`, in nats.

    The tolerance is needed where value and null both reach the ceiling: they differ by rounding only.
    """
    return bool(_is_reached(value, quantile95))


def mostly_null(value: float, null_mean: float) -> bool:
    """Return whether permuted labels give more than `NULL_SHARE` of the value on average, in nats."""
    return bool(_is_filled_by(value, null_mean))


def undersampled(bias: float, error: float, bias_error: float = 0.0, *, allowed: float = 0.0) -> bool:
    """Return whether samples are too few: with half of them the value is worse by more than its error covers, in nats.

    Args:
        bias: how much worse the value from half of the samples is.
        error: standard error of the value.
        bias_error: standard error of the bias. A bias of less than two of them may be chance.
        allowed: bias that is small against the value, where the interval covers it.
    """
    return bias > max(NOTICED * error, 2 * bias_error, NUMERICAL_ERROR, allowed)


def with_standing(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with finite values, and mark those that are not reliable.

    Args:
        rows: columns of `records.MEASUREMENT_SCHEMA` or of `sweeps.SWEEP_SCHEMA`.

    Returns:
        The same columns, and `mostly_null`, `linear_zero` and `resolved`. All marks are booleans; what was not
        recorded is false. A null-like value is not mostly null too. `ceiling_nats` of the lower KDE bound of I(X;T) is
        the most that it can give at noise in proportion to the layer.
        `estimator` ends in "@" and the mode of the noise if that is not fixed, so that "kde-kl" never selects values
        at relative or swept noise.
    """
    value, inputs, quantile = (pl.col(name) for name in ("value_nats", "ceiling_nats", "null_quantile95_nats"))
    ceiling = pl.min_horizontal(inputs, _lower_bound_ceiling(rows))
    mean, low = (_known(rows, name, pl.Float64()) for name in ("null_mean_nats", "interval_low"))
    linear = (pl.col("estimator") == DECODED) & (pl.col("quantity") == LABEL_INFORMATION)
    monte_carlo = (pl.col("estimator") == MONTE_CARLO[0]) & (pl.col("quantity") == MONTE_CARLO[1])
    full = _fills(value, ceiling) | (monte_carlo & _is_near(value, ceiling))
    at_most = _known(rows, "gaussian_ceiling_nats", pl.Float64())
    rows = rows.filter(value.is_finite())
    return rows.with_columns(
        saturated=(pl.col("saturated") | full.fill_null(value=False)) & ~pl.col("estimator").is_in(HELD_OUT),
        null_like=_is_reached(value, quantile).fill_null(value=False),
        linear_zero=(linear & (low <= NUMERICAL_ERROR)).fill_null(value=False),
        mostly_null=(_is_filled_by(value, mean) & ~_is_reached(value, quantile)).fill_null(value=False),
        undersampled=_known(rows, "undersampled", pl.Boolean()).fill_null(value=False),
        resolved=(at_most <= inputs - RESOLVED_NATS).fill_null(value=False),
        ceiling_nats=ceiling,
        estimator=pl.col("estimator") + _noise_suffix(_known(rows, "noise_mode", pl.String())),
    )


def _known(rows: pl.DataFrame, column: str, dtype: pl.DataType) -> pl.Expr:
    """Return a column, or nulls if the table does not have it, as in sweeps."""
    return pl.col(column) if column in rows.columns else pl.lit(None, dtype=dtype)


def _lower_bound_ceiling(rows: pl.DataFrame) -> pl.Expr:
    """Return the most that the lower KDE bound of I(X;T) can give at noise in proportion to the layer, in nats.

    Null for all other rows.

    The mean of the squared distances d_ij is twice the total variance V of the layer, and Jensen's inequality gives

        -mean_i ln mean_j exp(-d_ij / (8 s2)) <= mean_ij d_ij / (8 s2) = V / (4 s2) = features / (4 noise ratio),

    where s2 is the noise variance, `noise_ratio` times the variance per unit. All layers share this ceiling, and equal
    distances reach it. A value near it tells of the noise, and not of the layer. At fixed noise the same bound tells of
    the variance of the layer, so it is no ceiling there. Of distorted examples the variance is not recorded.
    """
    own = (pl.col("estimator") == KDE_BD) & (pl.col("quantity") == INPUT_INFORMATION)
    scaled = _known(rows, "noise_mode", pl.String()).is_in([RELATIVE_NOISE, SWEPT_NOISE])
    undistorted = _known(rows, "distortion", pl.String()).is_null()
    features, ratio = (_known(rows, name, pl.Float64()) for name in ("features", "noise_ratio"))
    return pl.when(own & scaled & undistorted).then(features / (4 * ratio))


def _noise_suffix(mode: pl.Expr) -> pl.Expr:
    return pl.when(mode != FIXED_NOISE).then("@" + mode).otherwise(pl.lit(""))


# The rules, for numbers and for columns of a table.


def _fills(value: Any, ceiling: Any) -> Any:
    return (ceiling <= 0) | (value > SATURATED_SHARE * ceiling)


def _is_near(value: Any, ceiling: Any) -> Any:
    return value > ceiling - NEAR_NATS


def _is_filled_by(value: Any, null_mean: Any) -> Any:
    # A null of a held-out decoder is about 0, and values near 0 are null-like or within their interval of it.
    return (null_mean > NULL_SHARE * value) & (null_mean > NUMERICAL_ERROR)


def _is_reached(value: Any, quantile95: Any) -> Any:
    return value <= quantile95 + NUMERICAL_ERROR
