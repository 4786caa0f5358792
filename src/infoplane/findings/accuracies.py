"""Accuracies with their intervals, and along distortions, as claims 4 and 5 compare them."""

import math

import numpy as np
import polars as pl

from infoplane.findings.evidence import Evidence, Floats
from infoplane.measuring.intervals import wilson_interval
from infoplane.records.tables import LABEL_INFORMATION

SATURATION = "saturation"
ACCURACY = "accuracy"


def accuracy_evidence(accuracies: Floats, examples: Floats) -> Evidence:
    """Return the accuracy with its interval: that of Wilson over examples; of several seeds also the t interval.

    All seeds see the same test examples, so a mean over seeds is as uncertain over examples as one accuracy.

    Args:
        accuracies: `(seeds,)`, shares.
        examples: `(seeds,)`, numbers of examples.
    """
    value, number = float(accuracies.mean()), float(examples.min())
    # The number of right answers is whole: 0.93 * 360 is a little more or less than one.
    right = round(value * number) if len(accuracies) == 1 else value * number

    def over_examples(alpha: float) -> tuple[float, float]:
        low, high = wilson_interval(min(number, max(0.0, right)), number, alpha=alpha)
        return low, high

    return Evidence(values=accuracies, over_examples=over_examples)


def accuracy_of(rows: pl.DataFrame) -> Evidence:
    """Return the same of rows of performance, at least one: one training and one kind of examples, a row per seed."""
    return accuracy_evidence(rows["accuracy"].to_numpy(), rows["n"].cast(pl.Float64).to_numpy())


def accuracy_ends(evidence: Evidence) -> tuple[float, float]:
    """Return the ends of the 95 % interval, within [0, 1]: that of a mean over seeds can pass them."""
    low, high, _ = evidence.interval()
    return max(low, 0.0), min(high, 1.0)


def accuracy_error(accuracy: Floats, examples: Floats) -> Floats:
    """Return the binomial standard error, with two successes and two failures added: it is never 0.

    Source: Agresti & Coull (1998), Amer. Statist. 52, 119.
    """
    share = (accuracy * examples + 2) / (examples + 4)
    error: Floats = np.sqrt(share * (1 - share) / (examples + 4))
    return error


def chance_of_accuracy(measurements: pl.DataFrame) -> float:
    """Return exp(-H(Y)), one in the number of classes where these are balanced; 0 where H(Y) is not recorded."""
    ceilings = measurements.filter(pl.col("quantity") == LABEL_INFORMATION)["ceiling_nats"].drop_nulls()
    return math.exp(-ceilings.to_numpy().max()) if len(ceilings) else 0.0


def largest_class(performance: pl.DataFrame) -> float:
    """Return the share of the largest class, the accuracy of its constant prediction; 0 without predictions."""
    known = performance.filter(pl.col("predictions").list.len() > 0).head(1)
    if known.is_empty():
        return 0.0
    counts = (
        known.select("predictions")
        .explode("predictions")
        .unnest("predictions")
        .group_by("label")
        .agg(pl.col("n").sum())
    )
    return float(counts["n"].to_numpy().max() / counts["n"].to_numpy().sum())
