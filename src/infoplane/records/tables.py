"""Tables that every study fills: measurements of information, geometry of layers, and performance."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from types import NoneType, UnionType
from typing import Any, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

import polars as pl
from polars import selectors

from infoplane.records.short_repr import with_short_repr

SCHEMA_VERSION = 3  # of a run's records and checkpoints: raised when older runs can no longer be read or continued

ORIGINAL = "original"  # examples as they are
ADVERSARIAL = "adversarial"  # examples under the attack of the settings; those of other attacks have the attack's name
RANDOM = "random"  # examples under a uniformly random perturbation of the attack's size
NORMAL_TRAINING = "normal"  # trainings are named after their method
ADVERSARIAL_TRAINING = "adversarial"  # with PGD, the study's

TEST, TRAIN = "test", "train"  # splits: all findings are about test images
ALL_SPLITS = "all"  # split of an I(X;T) that test and training images give together
PIXELS = "pixels"  # the raw pixels, measured like a layer at the last epoch: a baseline of all layers
PIXELS_INDEX = -1  # their layer index

LOWER, UPPER, ESTIMATE = "lower", "upper", "estimate"  # kinds of numbers: a proved bound of the quantity, or neither

INPUT_INFORMATION = "I(X;T)"  # of the layer's outputs about the input, under noise or in bins
LABEL_INFORMATION = "I(T;Y)"  # of the layer's outputs about the label
FEWER_INFORMATION = "I(T;Y) from fewer examples"  # by decoders fitted on `samples` of them: the learning curve
ADDED_INFORMATION = "I(T';Y|T)"  # of attacked examples T', beyond the same examples T without the attack
REMOVED_INFORMATION = "I(T;Y|T')"  # of the examples without the attack, beyond the attacked ones
SHARED_INFORMATION = "I(T;Y)-I(T;Y|T')"  # what both tell
MISTAKEN_INFORMATION = "I(T;mistaken)"  # of misclassified examples, about the class that they are misclassified as
TRUE_INFORMATION = "I(T;Y|mistaken)"  # of the same examples, about their label
CLASS_ENTROPY = "H(T|y)-h(noise)"  # of the examples of one class, under noise, less the entropy of the noise
PAIR_INFORMATION = "I(X;Y)"  # of any two variables

KDE_KL = "kde-kl"  # pair estimate from the Kullback-Leibler divergence: upper bound of I(X;T), estimate of I(T;Y)
KDE_BD = "kde-bd"  # pair estimate from the Bhattacharyya distance: lower bound of I(X;T), estimate of I(T;Y)
KDE_MIXED = "kde-mixed"  # bounds of the mixture's I(T;Y): one kind for the layer, the other for its classes
BINNING = "binning"  # of outputs rounded to bins
RATE = "rate"  # mean divergence of the code's distribution from N(0, I): an upper bound of I(X;T)
NOISY = "noisy"  # Monte Carlo estimate over the noise; it lies between the KDE bounds
EXACT = "exact"  # counted: a discrete layer, with all inputs known and equally likely
KSG = "ksg"  # nearest-neighbour estimate for continuous variables
DECODED = "decoded"  # lower bound of I(T;Y) by held-out decoders, fitted on the examples that are measured
DECODED_BEST = "decoded-best"  # the same by the best of several families of decoders
DECODED_TRANSFER = "decoded-transfer"  # decoders trained on clean examples, applied to versions of other examples

# The distribution that a number is about. In wide layers the first two say little about the third.
MIXTURE = "mixture"  # the measured examples' own outputs, each with noise around it
BINNED = "binned"  # the measured examples' own outputs, rounded
POPULATION = "population"  # the distribution that the examples are drawn from; without noise but the network's own

FIXED_NOISE = "fixed"  # one variance for all layers
RELATIVE_NOISE = "relative"  # a share of the layer's mean variance per unit
SWEPT_NOISE = "sweep"  # one of many such shares
OWN_NOISE = "own"  # the noise that the network itself adds to the layer; its variance may differ by example and unit


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """One number about one layer at one epoch, with everything needed to judge it. Information is in nats."""

    study: str  # "information-flow"; "distortion" of study two; "attacks" of `infoplane attacks`
    seed: int  # of the training
    training: str  # name of the training: its method, or a name of one's own
    epoch: int  # completed epochs
    split: str  # "test"; "train" of training images; "all" of inputs from any split, where no labels are needed
    examples: str  # "original", "adversarial", an attack's name, or "random" of the control
    example_draw: str | None = None  # rows of different draws are of different images; missing: one fixed set
    distortion: str | None = None  # name of a distortion; missing where there is none
    level: float | None = None  # of the distortion, in its own unit
    layer_index: int  # from 0 at the input; -1 of the raw pixels
    layer: str  # name of its module; "pixels" of the raw pixels
    estimator: str  # how the number was estimated
    kind: str  # how it relates to the quantity: a proved "lower" or "upper" bound, or an "estimate"
    quantity: str  # what it is about
    distribution: str  # the distribution that the number is about
    class_index: int | None = None  # the class that it is about; missing where it is about all
    value_nats: float  # raw: it can lie below 0, and rounding can lift it over the ceiling
    standard_error: float | None = None  # of the value, in nats
    interval_low: float | None = None  # lower end of the 95 % interval, in nats
    interval_high: float | None = None  # upper end, likewise
    ceiling_nats: float | None = None  # largest value that this estimator can give on these examples
    null_mean_nats: float | None = None  # mean of the values for permuted labels
    null_quantile95_nats: float | None = None  # 95 % quantile of the values for permuted labels
    permutations: int | None = None  # number of permuted sets of labels
    saturated: bool  # whether the value is so near its ceiling that it is about the number of examples
    undersampled: bool | None = None  # whether samples were too few; None where the estimator cannot tell
    samples: int  # number of examples that the value is from
    copies: int | None = None  # samples that are further copies of another one; they count as one where it matters
    features: int  # of the layer: its units, and for a convolution all places of all maps
    noise_mode: str | None = None  # how the noise was chosen; missing where none is added
    noise_ratio: float | None = None  # noise variance over mean variance per unit; None for fixed noise
    noise_variance: float | None = None  # in squared activation units; its mean where it differs
    gaussian_ceiling_nats: float | None = None  # of I(X;T): proved for the mixture, whatever the number of samples
    bin_width: float | None = None  # of the binning, in activation units
    singleton_fraction: float | None = None  # share of the examples that are alone in their bin
    group_means: Sequence[float | None] | None = None  # influence terms averaged over fixed groups of examples


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class Geometry:
    """Geometry of one layer's outputs at one epoch; information measured with added noise depends on it."""

    study: str  # as in the measurements
    seed: int  # of the training
    training: str  # name of the training
    epoch: int  # completed epochs
    split: str  # as in the measurements
    examples: str  # as in the measurements
    example_draw: str | None = None  # as in the measurements
    distortion: str | None = None  # name of a distortion; missing where there is none
    level: float | None = None  # of the distortion, in its own unit
    layer_index: int  # from 0 at the input; -1 of the raw pixels
    layer: str  # name of its module; "pixels" of the raw pixels
    samples: int  # number of examples
    features: int  # of the layer
    activation_norm: float  # root mean square over examples
    mean_unit_variance: float  # variance over examples, averaged over units
    class_clustering_index: float  # share of the variance between classes, corrected for chance; NaN if all are equal
    participation_ratio: float  # effective number of directions of the outputs' covariance; NaN for equal outputs
    cka_with_original: float | None = None  # debiased linear CKA with those of originals; of large layers a subset's


class Prediction(TypedDict):
    """How many examples of one class a network classifies as one class, right or wrong."""

    label: int  # the class of the examples
    predicted: int  # the class that the network gives them
    n: int  # how many they are
    confidence: float  # mean probability of the predicted class, by the network's softmax


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class Performance:
    """Accuracy and loss of a network on one set of examples at one epoch. Loss is cross-entropy in nats."""

    study: str  # as in the measurements
    seed: int  # of the training
    training: str  # name of the training
    epoch: int  # completed epochs
    split: str  # "train" or "test"; a plane of one's own has "test" alone
    examples: str  # as in the measurements
    example_draw: str | None = None  # as in the measurements
    distortion: str | None = None  # name of a distortion; missing where there is none
    level: float | None = None  # of the distortion, in its own unit
    accuracy: float  # share of the examples that are classified correctly
    loss: float  # mean cross-entropy, in nats
    n: int  # number of examples
    gradient_evaluations: int  # per-example input or weight gradients used by training so far
    seconds: float  # used by training so far
    predictions: Sequence[Prediction] | None = None  # those that occur, ascending: the transfer matrix
    texture_accuracy: float | None = None  # share classified as the class of the image that the texture is from
    draws: int | None = None  # draws of the network's own noise that the next two average; missing without such noise
    drawn_accuracy: float | None = None  # share classified correctly by the mean softmax over the draws
    drawn_loss: float | None = None  # mean cross-entropy of that mean softmax, in nats
    at_chance: bool = False  # whether the network is no better than a constant prediction (training.liveness)


_COLUMN_TYPES = {str: pl.String(), int: pl.Int64(), float: pl.Float64(), bool: pl.Boolean()}


def table_schema(row: type) -> dict[str, pl.DataType]:
    """Return the columns of the table whose rows are of this dataclass, with their types."""
    return {name: _column_type(hint) for name, hint in get_type_hints(row).items()}


def _column_type(hint: Any) -> pl.DataType:
    if isinstance(hint, UnionType):  # every column may hold missing values
        (hint,) = (part for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is Sequence:
        return pl.List(_column_type(get_args(hint)[0]))
    if is_typeddict(hint):
        return pl.Struct(table_schema(hint))
    return _COLUMN_TYPES[hint]


MEASUREMENT_SCHEMA = table_schema(Measurement)  # columns of the table, with their types
GEOMETRY_SCHEMA = table_schema(Geometry)  # columns of the table, with their types
PERFORMANCE_SCHEMA = table_schema(Performance)  # columns of the table, with their types


# Columns that came later: runs of the same version may lack them, and are read with missing values there.
LATER_COLUMNS = {"draws", "drawn_accuracy", "drawn_loss", "example_draw"}


def measurement_table(rows: Iterable[Measurement]) -> pl.DataFrame:
    """Return the rows as a table with the columns and types of `MEASUREMENT_SCHEMA`, also when there are none."""
    return pl.DataFrame([asdict(row) for row in rows], schema=MEASUREMENT_SCHEMA)


def performance_table(rows: Iterable[Performance]) -> pl.DataFrame:
    """Return the rows as a table with the columns and types of `PERFORMANCE_SCHEMA`, also when there are none."""
    return pl.DataFrame([asdict(row) for row in rows], schema=PERFORMANCE_SCHEMA)


def trainings_at_chance(performance: pl.DataFrame) -> list[tuple[int, str]]:
    """Return (seed, training) of the trainings that are at chance at their last recorded epoch.

    Their networks are no better than a constant prediction, so statements about training must not use them.
    """
    undistorted = performance.filter(pl.col("distortion").is_null())
    last = undistorted.filter(pl.col("epoch") == pl.col("epoch").max().over("seed", "training"))
    dead = last.filter(pl.col("at_chance")).select("seed", "training").unique(maintain_order=True)
    return [(seed, training) for seed, training in dead.iter_rows()]


def geometry_table(rows: Iterable[Geometry]) -> pl.DataFrame:
    """Return the rows as a table with the columns and types of `GEOMETRY_SCHEMA`, also when there are none."""
    return pl.DataFrame([asdict(row) for row in rows], schema=GEOMETRY_SCHEMA)


def flat(table: pl.DataFrame) -> pl.DataFrame:
    """Return a table of records without its nested columns, `group_means` and `predictions`.

    `write_csv`, `write_excel` and `to_pandas` need one number or word per cell (the last also pandas and pyarrow).
    Findings need the whole table.
    """
    return table.drop(selectors.nested())
