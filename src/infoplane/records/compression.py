"""Tables of the compression studies: information of every layer at every measured epoch, and accuracies."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import polars as pl

from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import table_schema

TANH, RELU = "tanh", "relu"
FIXED_RANGE = "fixed"  # bins over one range at all epochs: [-1, 1] of tanh, [0, largest output of all epochs] of ReLU
EPOCH_RANGE = "epoch"  # bins over the range of the layer at the same epoch


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class CompressionMeasurement:
    """One number about one hidden layer of one network at one epoch. Information is in nats."""

    seed: int  # of the training
    activation: str  # "tanh" or "relu"
    bits: int | None = None  # of an activation; missing where activations are not quantised
    epoch: int  # completed epochs
    layer_index: int  # from 0 at the input
    layer: str  # name of its module
    estimator: str  # as in the measurements
    kind: str  # "lower", "upper", "estimate"
    quantity: str  # as in the measurements
    value_nats: float  # as it was computed
    standard_error: float | None = None  # of the value, in nats, as if inputs were a sample; missing if exact
    ceiling_nats: float | None = None  # largest possible value
    saturated: bool  # as in the measurements
    samples: int  # inputs: all that there are
    features: int  # units of the layer
    noise_mode: str | None = None  # "fixed" or "relative"; missing where no noise is added
    noise_variance: float | None = None  # in squared activation units
    bins: int | None = None  # number of equal bins; missing where outputs are not binned
    bin_range: str | None = None  # "fixed" or "epoch": what the bins cover
    bin_width: float | None = None  # in activation units


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class CompressionAccuracy:
    """Accuracy of one network on one part of the inputs at one epoch."""

    seed: int  # of the training
    activation: str  # "tanh" or "relu"
    bits: int | None = None  # of an activation; missing where activations are not quantised
    epoch: int  # completed epochs
    split: str  # "train" or "test"
    accuracy: float  # share of the inputs that are classified as labelled
    constant: float  # accuracy that a network with a constant answer can have
    n: int  # number of inputs


COMPRESSION_SCHEMA = table_schema(CompressionMeasurement)  # columns of the table, with their types
ACCURACY_SCHEMA = table_schema(CompressionAccuracy)  # likewise


def compression_table(rows: Iterable[CompressionMeasurement]) -> pl.DataFrame:
    """Return the rows as a table with the columns and types of `COMPRESSION_SCHEMA`."""
    return pl.DataFrame([asdict(row) for row in rows], schema=COMPRESSION_SCHEMA)


def accuracy_table(rows: Iterable[CompressionAccuracy]) -> pl.DataFrame:
    """Return the rows as a table with the columns and types of `ACCURACY_SCHEMA`."""
    return pl.DataFrame([asdict(row) for row in rows], schema=ACCURACY_SCHEMA)
