"""Accuracy along distortions, as claims 4 and 5 compare it."""

import math

import numpy as np
import polars as pl

from infoplane.findings.evidence import Floats
from infoplane.records.tables import LABEL_INFORMATION

SATURATION = "saturation"
ACCURACY = "accuracy"


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
