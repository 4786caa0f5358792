"""Table of the sweeps of study three, and the names of the sweeps."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import polars as pl

from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import table_schema

SPREAD = "spread"  # x: standard deviation per coordinate, at a fixed arrangement of classes
TIGHTNESS = "tightness"  # x: share of the variance that lies between classes, at one overall spread
PURITY = "purity"  # x: share of labels that are the cluster's, for the same points
NOISE = "noise-variance"
BINS = "bin-width"
SAMPLES = "samples"  # x: N, far below the ceiling
SAMPLES_APART = "samples-apart"  # x: N, of points so far apart that the estimates are at their ceiling
DIMENSION = "dimension"  # x: number of features; those beyond the classes' own are noise
DIMENSION_FIXED = "dimension-fixed"  # x: features of a Gaussian channel with the same information in any dimension
PICTURES = "pictures"  # x: position in the figure of four clouds

DISCRETE_LIMIT = "discrete"  # x: width of box or bin around a layer of a few values
CONTINUOUS_LIMIT = "continuous"  # x: width of box or bin around f(X) = X, X uniform

CLOSED_FORM = "closed-form"
LAYER_ENTROPY, NOISE_ENTROPY = "h(T)", "h(T|X)"


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class SweepMeasurement:
    """One number about one draw at one value of x of a sweep. Information is in nats."""

    sweep: str  # name of the sweep
    x: float  # the setting that changes along the sweep
    replicate: int  # number of the draw; where possible the same draw is used along x
    estimator: str  # as in the measurements
    kind: str  # "lower", "upper", "estimate"
    quantity: str  # as in the measurements
    value_nats: float  # as it was estimated
    standard_error: float | None = None  # of the value, in nats
    ceiling_nats: float | None = None  # largest value that this estimator can give
    null_quantile95_nats: float | None = None  # 95 % quantile of the values for permuted labels
    saturated: bool = False  # as in the measurements
    truth_nats: float | None = None  # true value of what this estimator estimates: with its noise or bins
    samples: int  # points of the cloud
    features: int  # dimension of the cloud
    classes: int  # clusters of the cloud
    unit_variance: float | None = None  # over the samples drawn, averaged over features
    spread: float | None = None  # setting of the cloud
    tightness: float | None = None  # setting of the cloud
    purity: float | None = None  # setting of the cloud
    noise_variance: float | None = None  # of the estimator
    bin_width: float | None = None  # of the estimator


SWEEP_SCHEMA = table_schema(SweepMeasurement)  # columns of the table, with their types


def sweep_table(rows: Iterable[SweepMeasurement]) -> pl.DataFrame:
    """Return the rows as a table with the columns and types of `SWEEP_SCHEMA`, also when there are none."""
    return pl.DataFrame([asdict(row) for row in rows], schema=SWEEP_SCHEMA)
