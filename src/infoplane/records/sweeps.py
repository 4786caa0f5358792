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

    sweep: str
    x: float
    replicate: int  # number of the draw; where possible the same draw is used along x
    estimator: str  # as in `records`
    kind: str  # "lower", "upper", "estimate"
    quantity: str
    value_nats: float
    standard_error: float | None = None
    ceiling_nats: float | None = None
    null_quantile95_nats: float | None = None  # of permuted labels
    saturated: bool = False
    truth_nats: float | None = None  # true value of what this estimator estimates: with its noise or bins
    samples: int
    features: int
    classes: int
    unit_variance: float | None = None  # over the samples drawn, averaged over features
    spread: float | None = None  # the settings of a cloud
    tightness: float | None = None
    purity: float | None = None
    noise_variance: float | None = None
    bin_width: float | None = None


SWEEP_SCHEMA = table_schema(SweepMeasurement)  # columns of the table, with their types


def sweep_table(rows: Iterable[SweepMeasurement]) -> pl.DataFrame:
    """Return the rows as a table with the columns and types of `SWEEP_SCHEMA`, also when there are none."""
    return pl.DataFrame([asdict(row) for row in rows], schema=SWEEP_SCHEMA)
