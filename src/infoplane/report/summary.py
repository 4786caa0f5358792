"""Summary of a run: numbers of the last epoch as text, and what is missing."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import polars as pl

from infoplane.config import training_name
from infoplane.records.tables import trainings_at_chance
from infoplane.report.bits import RESOLUTION_BITS, examples_of, in_bits, last_epoch, layers_of, trainings_of
from infoplane.report.examples import attacks_of
from infoplane.report.labels import STUDY_ESTIMATORS, SWEPT, curve_order, estimator_label, training_label


class Shown(NamedTuple):
    """One number as text: "11.02±.03", "12.29 sat" or "8.21 undersampled", with its 95 % interval and its null.

    The null is the 95 % quantile over permuted labels, the excess is the value less their mean. `at_most` is the
    Gaussian ceiling of an I(X;T) under noise.
    """

    value: str
    interval: str
    null: str
    null_like: bool
    saturated: bool
    undersampled: bool
    at_most: str = ""
    excess: str = ""
    mostly_null: bool = False

    @property
    def poor(self) -> bool:
        """Whether the number has a mark."""
        return self.saturated or self.null_like or self.mostly_null or self.undersampled

    @property
    def null_sign(self) -> str:
        """Sign before the null: "≤" of null-like values, "~" of values that are mostly null, or ""."""
        return "≤" if self.null_like else "~" if self.mostly_null else ""


class LayerSummary(NamedTuple):
    """One layer at the last epoch of one training, on one kind of examples.

    `numbers` maps (quantity, estimator, kind) to text. Estimators are named as by `bits.in_bits`, without noise sweeps.
    """

    seed: int
    training: str
    epoch: int
    layer: str
    examples: str
    numbers: Mapping[tuple[str, str, str], Shown]


def show_number(row: Mapping[str, Any]) -> Shown:
    """Format one row of `in_bits`: raw value, then "sat", "linear", "undersampled" or its standard error."""
    value = show_bits(row["value_bits"])
    if row["saturated"]:
        value += " sat"
    elif row["linear_zero"]:
        value += " linear"
    elif row["undersampled"]:
        value += " undersampled"
    elif row["error_bits"] is not None:
        value += show_error(row["error_bits"])
    null = "" if row["null_bits"] is None else show_bits(row["null_bits"])
    interval = "" if row["low_bits"] is None else f"{show_bits(row['low_bits'])} to {show_bits(row['high_bits'])}"
    excess = "" if row["excess_bits"] is None else show_bits(row["excess_bits"])
    at_most = "" if row["at_most_bits"] is None else show_bits(row["at_most_bits"])
    marks = (row["null_like"], row["saturated"], row["undersampled"])
    return Shown(value, interval, null, *marks, at_most, excess, row["mostly_null"])


def in_terminal(value: str) -> str:
    """Replace "undersampled" and "linear" by the short marks that the legend of the terminal tables explains."""
    return value.replace("undersampled", "†").replace("linear", "lin")


def show_bits(value: float) -> str:
    """Format a number of bits with two decimals, and never as -0.00."""
    return f"{value:.2f}" if abs(value) >= RESOLUTION_BITS else "0.00"


def show_error(error_bits: float) -> str:
    """Format a standard error so that it never reads as zero."""
    return "±<.01" if error_bits < 0.005 else f"±{error_bits:.2f}".replace("±0.", "±.")


def layer_summaries(measurements: pl.DataFrame) -> list[LayerSummary]:
    """Summarise each training's last epoch, layer by layer."""
    rows = last_epoch(in_bits(measurements))
    rows = rows.filter(pl.col("class_index").is_null(), ~pl.col("estimator").str.ends_with(SWEPT))
    summaries = []
    for seed, training in trainings_of(rows):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training)
        for _, layer in layers_of(own, pixels=True):
            of_layer = own.filter(pl.col("layer") == layer)
            for examples in examples_of(of_layer, control=True):
                chosen = of_layer.filter(pl.col("examples") == examples)
                numbers = {
                    (row["quantity"], row["estimator"], row["kind"]): show_number(row) for row in chosen.to_dicts()
                }
                summaries.append(LayerSummary(seed, training, own["epoch"][0], layer, examples, numbers))
    return summaries


def ceiling_bits(measurements: pl.DataFrame, quantity: str) -> float | None:
    """Return the largest ceiling, in bits, that any recorded estimate of `quantity` has."""
    rows = in_bits(measurements).filter(pl.col("quantity") == quantity, pl.col("class_index").is_null())
    ceiling = rows["ceiling_bits"].max()
    return None if ceiling is None else float(ceiling)  # type: ignore[arg-type]


def accuracies(performance: pl.DataFrame) -> list[dict[str, Any]]:
    """Return one dictionary per training: seed, training, epoch, at_chance, and accuracy by (split, examples).

    The accuracy of a stochastic network by averaged draws has the split "test, 12 draws".
    """
    dead = trainings_at_chance(performance)
    rows = last_epoch(performance.filter(pl.col("distortion").is_null()))
    found = []
    for seed, training in trainings_of(rows):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training)
        curves = {(row["split"], row["examples"]): row["accuracy"] for row in own.to_dicts()}
        curves |= {
            (f"{row['split']}, {row['draws']} draws", row["examples"]): row["drawn_accuracy"]
            for row in own.to_dicts()
            if row.get("drawn_accuracy") is not None
        }
        facts = {"seed": seed, "training": training, "epoch": own["epoch"][0], "curves": curves}
        found.append({**facts, "at_chance": (seed, training) in dead})
    return found


def accuracy_columns(found: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return every (split, examples) that `accuracies` found, in reading order."""

    def order(curve: tuple[str, str]) -> tuple[object, ...]:
        split, examples = curve
        return (*curve_order(split.partition(",")[0], examples), split)

    return sorted({curve for one in found for curve in one["curves"]}, key=order)


def at_chance_lines(performance: pl.DataFrame) -> list[str]:
    """Return sentences that name the trainings at chance."""
    return [
        f"{training_label(training).capitalize()} (seed {seed}) is at chance: its network answers no better than a "
        "constant does, and no claim rests on it."
        for seed, training in trainings_at_chance(performance)
    ]


def missing_parts(measurements: pl.DataFrame, performance: pl.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    """Return sentences that say what a full run has and this run does not have yet."""
    if measurements.is_empty() and performance.is_empty():
        return ["Nothing has been recorded yet: continue the run, then make this report again."]
    rows, dead = in_bits(measurements), trainings_at_chance(performance)
    parts = []
    if rows.is_empty():
        parts.append("No information has been measured yet.")
    training_settings = settings.get("training")
    planned = training_settings.get("epochs") if isinstance(training_settings, Mapping) else None
    methods = settings.get("methods")
    recorded = {training for _, training in trainings_of(measurements, performance)}
    parts += [
        f"Nothing has been recorded for {training_label(training)} yet."
        for training in (training_name(str(method)) for method in (methods if isinstance(methods, list) else []))
        if training not in recorded
    ]
    parts += _missing_seeds(settings, {seed for seed, _ in trainings_of(measurements, performance)})
    for seed, training in trainings_of(rows):
        own = rows.filter(pl.col("seed") == seed, pl.col("training") == training)
        where = f"{training_label(training)} (seed {seed})"
        last = own["epoch"].max()
        ended = (seed, training) in dead  # missing trainings have their own sentence
        if isinstance(planned, int) and isinstance(last, int) and last < planned and not ended:
            parts.append(f"{where.capitalize()} is measured up to epoch {last} of {planned}.")
        if settings.get("attacks") != [] and not attacks_of(own["examples"]):
            parts.append(f"{where.capitalize()} has no measurements on adversarial examples.")
        measured = set(own["estimator"])
        parts += [
            f"{where.capitalize()} has no {estimator_label(name)} estimates."
            for name in STUDY_ESTIMATORS
            if name not in measured
        ]
    return parts


def _missing_seeds(settings: Mapping[str, Any], recorded: set[int]) -> list[str]:
    first, number = settings.get("seed"), settings.get("seeds")
    if not (isinstance(first, int) and isinstance(number, int)):
        return []
    return [
        f"Nothing has been recorded for seed {seed} yet."
        for seed in range(first, first + number)
        if seed not in recorded
    ]
