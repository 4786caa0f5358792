"""Compare the layers of several runs with those of the first: which numbers belong together, and how they differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import polars as pl

from infoplane.findings.compared import Difference, Sample, difference, together
from infoplane.findings.curves import PRIMARY, group_matrix, rows_to_judge
from infoplane.findings.evidence import LEVEL, Paired
from infoplane.findings.matching import Layer, Matches, match_layers, match_names
from infoplane.records.short_repr import with_short_repr
from infoplane.records.standing import NUMERICAL_ERROR
from infoplane.records.tables import (
    BINNING,
    DECODED_BEST,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    NOISY,
    NORMAL_TRAINING,
    ORIGINAL,
    PIXELS_INDEX,
    RANDOM,
    RELATIVE_NOISE,
    trainings_at_chance,
)

_AT = f"@{RELATIVE_NOISE}"
# Of each quantity, the estimators in the order in which they are preferred; all runs must have the same one.
_PREFERRED = {
    LABEL_INFORMATION: (PRIMARY[LABEL_INFORMATION], DECODED_BEST, f"{KDE_BD}{_AT}", KDE_BD, f"{NOISY}{_AT}", BINNING),
    INPUT_INFORMATION: (
        *(PRIMARY[INPUT_INFORMATION], f"{NOISY}{_AT}", f"{KDE_KL}{_AT}"),
        *(KDE_BD, NOISY, KDE_KL, BINNING),
    ),
}
SATURATED, OTHER_NOISE = "saturated", "other noise"


class Reading(NamedTuple):
    """What is compared in every layer."""

    quantity: str
    estimator: str  # with "@" and the mode of the noise, where that is not fixed


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class RunRecords:
    """The records of one run.

    Args:
        name: that tells it from the other runs.
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
        examples: equal for runs that measured the same examples in the same groups; None if that is not known.
    """

    name: str
    measurements: pl.DataFrame
    performance: pl.DataFrame
    examples: str | None = None

    @cached_property
    def at_chance(self) -> list[tuple[int, str]]:
        """(seed, training) of the trainings that are left out: their networks are no better than a constant."""
        return trainings_at_chance(self.performance)

    @cached_property
    def rows(self) -> pl.DataFrame:
        """The measurements that can be compared, of undistorted test examples, with their standing."""
        names = {name.removesuffix(_AT) for names in _PREFERRED.values() for name in names}
        rows = self.measurements.filter(
            pl.col("distortion").is_null(),
            pl.col("split") == "test",
            pl.col("layer_index") != PIXELS_INDEX,
            pl.col("examples") != RANDOM,
            pl.col("estimator").is_in([*names, DECODED_TRANSFER]),
            pl.col("quantity").is_in(list(_PREFERRED)),
        )
        for seed, training in self.at_chance:
            rows = rows.filter((pl.col("seed") != seed) | (pl.col("training") != training))
        return rows_to_judge(rows)

    def names(self, column: str) -> list[str]:
        """Return the different values of a column of the compared rows: normal training and originals come first."""
        found: list[str] = self.rows[column].unique(maintain_order=True).to_list()
        return sorted(found, key=lambda name: name not in (NORMAL_TRAINING, ORIGINAL))

    def layers(self) -> list[Layer]:
        """Return (index, name) of the compared layers, from input to output."""
        return self.rows.select("layer_index", "layer").unique().sort("layer_index", "layer").rows()

    def noises(self, reading: Reading) -> set[str]:
        """Return the noises or bin widths that a reading was measured with, as text with six digits."""
        own = self.rows.filter(quantity=reading.quantity, estimator=reading.estimator)
        share = (
            pl.col("noise_ratio") / pl.col("features") if reading.estimator.endswith(_AT) else pl.col("noise_variance")
        )
        found = own.select(pl.coalesce(share, pl.col("bin_width")).alias("noise"))["noise"].drop_nulls()
        return {f"{value:.6g}" for value in found.unique()}


class Place(NamedTuple):
    """Where a number of a run stands, by the names of the first run."""

    training: str
    examples: str
    layer: Layer
    reading: Reading


class Level(NamedTuple):
    """One number of one run in one layer, the mean over seeds, in nats.

    Attributes:
        run: name of the run.
        place: by the names of the first run.
        epoch: completed epochs.
        value: mean over seeds.
        low: lower end of its 95 % interval; infinite where its error is not known.
        high: upper end.
        seeds: the training seeds.
        layer: the layer's name in this run.
        saturated: whether it is saturated for any seed.
        null_like: whether it is null-like for every seed.
        ceiling: the largest of all seeds, infinite where there is none; intervals can pass it.
    """

    run: str
    place: Place
    epoch: int
    value: float
    low: float
    high: float
    seeds: tuple[int, ...]
    layer: str
    saturated: bool
    null_like: bool
    ceiling: float


class LayerDifference(NamedTuple):
    """How a run differs from the first in one layer, in nats: its value minus the first's.

    Attributes:
        run: name of the run.
        place: by the names of the first run.
        epoch: completed epochs, the same in both.
        value: the difference.
        low: lower end of its 95 % interval; None where the records hold no error.
        high: upper end.
        together_low: lower end of the interval that holds together with those of all other differences.
        together_high: upper end.
        paired: whether both runs measured the same examples, so that errors over examples are paired.
        covers_seeds: whether the interval holds for other training seeds, or for these networks only.
        note: why the difference means little: "saturated", or "other noise"; empty where it does not.
    """

    run: str
    place: Place
    epoch: int
    value: float
    low: float | None
    high: float | None
    together_low: float | None
    together_high: float | None
    paired: bool
    covers_seeds: bool
    note: str

    @property
    def is_clear(self) -> bool:
        """Whether the interval that holds for all differences together excludes 0, and nothing makes it mean little."""
        if self.together_low is None or self.together_high is None or self.note:
            return False
        return self.together_low > NUMERICAL_ERROR or self.together_high < -NUMERICAL_ERROR


class RunComparison(NamedTuple):
    """Several runs, compared with the first.

    Attributes:
        readings: what is compared in every layer.
        levels: the numbers of all runs.
        differences: of every run but the first from the first.
        notes: what was matched by other means than its name, and what was left out.
    """

    readings: list[Reading]
    levels: list[Level]
    differences: list[LayerDifference]
    notes: list[str]


def compare_runs(runs: Sequence[RunRecords]) -> RunComparison:
    """Compare every run with the first, layer by layer, at the largest epoch that all of them have.

    Args:
        runs: at least two, with different names.

    Returns:
        The comparison; without readings where the runs have no quantity in common.
    """
    first, *others = runs
    notes = [f"{run.name}: {training} training of seed {seed} is at chance and left out" for run in runs
             for seed, training in run.at_chance]  # fmt: skip
    matches = {first.name: Matches.to_itself(first.names("training"), first.names("examples"), first.layers())}
    for other in others:
        matches[other.name], said = _matches(first, other)
        notes += said
    readings = _common_readings(runs)
    epochs, said = _common_epochs(runs, matches, readings)
    notes += said
    chosen = {run.name: dict(_points(run, matches[run.name], epochs)) for run in runs}
    for run in runs:
        notes += _left_out_seeds(run, matches[run.name], chosen[run.name])
    levels = [_level(name, place, one) for name, own in chosen.items() for place, one in own.items()]
    pairs = [
        (other, place, chosen[first.name][place], one)
        for other in others
        for place, one in chosen[other.name].items()
        if place in chosen[first.name]
    ]
    return RunComparison(readings, levels, _differences(first, pairs), notes)


class _Point(NamedTuple):
    """A number of one run at one epoch, of all its seeds."""

    epoch: int
    sample: Sample
    layer: str
    saturated: bool
    null_like: bool
    ceiling: float


def _matches(first: RunRecords, other: RunRecords) -> tuple[Matches, list[str]]:
    about = f"{other.name} against {first.name}"
    trainings, said_trainings = match_names(first.names("training"), other.names("training"), "training")
    examples, said_examples = match_names(first.names("examples"), other.names("examples"), "examples")
    layers, said_layers = match_layers(first.layers(), other.layers())
    said = [f"{about}: {line}" for line in (*said_trainings, *said_examples, *said_layers)]
    return Matches(trainings, examples, layers), said


def _common_readings(runs: Sequence[RunRecords]) -> list[Reading]:
    """Choose, of each quantity, the preferred estimator that all runs have; and decoders of originals, likewise."""
    found = [set(run.rows.select("quantity", "estimator").unique().rows()) for run in runs]
    common = set.intersection(*found)
    readings = []
    for quantity, estimators in _PREFERRED.items():
        readings += [Reading(quantity, name) for name in estimators if (quantity, name) in common][:1]
        if quantity == LABEL_INFORMATION and (quantity, DECODED_TRANSFER) in common:
            readings.append(Reading(quantity, DECODED_TRANSFER))
    return readings


def _common_epochs(
    runs: Sequence[RunRecords], matches: Mapping[str, Matches], readings: Sequence[Reading]
) -> tuple[dict[tuple[str, Reading], int], list[str]]:
    """Return the largest epoch of each training and reading at which all runs that have it were measured, and notes.

    Trainings are named as in the first run. Where all runs go on after epoch 0 and have only that epoch in common, the
    reading is left out: a difference between random weights would be read as one after training.
    """
    epochs: dict[tuple[str, Reading], list[set[int]]] = {}
    for run in runs:
        names = {theirs: own for own, theirs in matches[run.name].trainings.items()}
        measured: dict[tuple[str, Reading], set[int]] = {}
        found = run.rows.select("training", "quantity", "estimator", "epoch").unique(maintain_order=True)
        for training, quantity, estimator, epoch in found.iter_rows():
            reading = Reading(quantity, estimator)
            if training in names and reading in readings:
                measured.setdefault((names[training], reading), set()).add(epoch)
        for key, known in measured.items():
            epochs.setdefault(key, []).append(known)
    common: dict[tuple[str, Reading], int] = {}
    notes = []
    for (training, reading), measured_epochs in epochs.items():
        shared = set.intersection(*measured_epochs)
        if any(shared) or (shared and any(max(own) == 0 for own in measured_epochs)):
            common[training, reading] = max(shared)
        else:
            listed = "; ".join(", ".join(map(str, sorted(own))) for own in measured_epochs)
            notes.append(
                f"{reading.quantity} by {reading.estimator}, {training} training: not compared, since the runs have no "
                f"epoch after 0 in common (measured at {listed})"
            )
    return common, notes


def _points(
    run: RunRecords, matches: Matches, epochs: Mapping[tuple[str, Reading], int]
) -> Iterator[tuple[Place, _Point]]:
    """Yield the numbers of one run at the common epochs, by their places in the first run."""
    examples = {theirs: own for own, theirs in matches.examples.items()}
    layers = {theirs: own for own, theirs in matches.layers.items()}
    for (training, reading), epoch in epochs.items():
        if training not in matches.trainings:
            continue
        own = run.rows.filter(
            training=matches.trainings[training], quantity=reading.quantity, estimator=reading.estimator, epoch=epoch
        )
        for found, rows in own.sort("layer_index", "seed").group_by(
            "examples", "layer_index", "layer", maintain_order=True
        ):
            kind, index, name = found
            layer = (int(str(index)), str(name))
            if kind not in examples or layer not in layers:
                continue
            errors = rows["standard_error"].cast(pl.Float64).fill_null(np.nan).to_numpy()
            paired = Paired(values=rows["value_nats"].to_numpy(), groups=group_matrix(rows))
            sample = Sample(paired, errors, tuple(rows["seed"]))
            saturated, null_like = bool(rows["saturated"].any()), bool(rows["null_like"].all())
            place = Place(training, examples[str(kind)], layers[layer], reading)
            ceiling = float(rows["ceiling_nats"].cast(pl.Float64).fill_null(np.inf).to_numpy().max())
            yield place, _Point(epoch, sample, str(name), saturated, null_like, ceiling)


def _left_out_seeds(run: RunRecords, matches: Matches, chosen: Mapping[Place, _Point]) -> list[str]:
    """Name the seeds of compared trainings that were not measured at the common epoch."""
    notes = []
    for own, theirs in matches.trainings.items():
        used = {seed for place, point in chosen.items() if place.training == own for seed in point.sample.seeds}
        began = set(run.rows.filter(training=theirs)["seed"].unique())
        if used and (missing := sorted(began - used)):
            listed = ", ".join(map(str, missing))
            notes.append(f"{run.name}: {theirs} training of seed {listed} was not measured at the compared epoch")
    return notes


def _level(name: str, place: Place, point: _Point) -> Level:
    sample = point.sample
    nothing = Sample(
        Paired(values=np.zeros_like(sample.paired.values), groups=np.zeros_like(sample.paired.groups)),
        np.zeros_like(sample.errors),
        sample.seeds,
    )
    ends = difference(nothing, sample, same_examples=True).interval()
    low, high = ends if ends is not None else (-np.inf, np.inf)
    value = float(sample.paired.values.mean())
    standing = point.saturated, point.null_like, point.ceiling
    return Level(name, place, point.epoch, value, low, high, sample.seeds, point.layer, *standing)


def _differences(first: RunRecords, pairs: Sequence[tuple[RunRecords, Place, _Point, _Point]]) -> list[LayerDifference]:
    found: list[tuple[Difference, bool, str]] = []
    noises = {(run.name, place.reading): run.noises(place.reading) for run, place, _, _ in pairs}
    of_first = {reading: first.noises(reading) for _, reading in noises}
    for other, place, one, two in pairs:
        paired = first.examples is not None and first.examples == other.examples
        noted = [
            SATURATED if one.saturated or two.saturated else "",
            OTHER_NOISE if noises[other.name, place.reading] != of_first[place.reading] else "",
        ]
        found.append((difference(one.sample, two.sample, same_examples=paired), paired, ", ".join(filter(None, noted))))
    alpha = together(LEVEL, sum(one.examples is not None for one, _, _ in found))
    differences = []
    for (other, place, one, _), (own, paired, note) in zip(pairs, found, strict=True):
        low, high = own.interval() or (None, None)
        together_low, together_high = own.interval(alpha) or (None, None)
        differences.append(
            LayerDifference(
                run=other.name,
                place=place,
                epoch=one.epoch,
                value=own.value,
                low=low,
                high=high,
                together_low=together_low,
                together_high=together_high,
                paired=paired,
                covers_seeds=own.covers_seeds,
                note=note,
            )
        )
    return differences
