"""Decide whether each estimate rises or falls along each sweep, from paired differences over the replicates."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import t as student

from infoplane.records.standing import with_standing
from infoplane.records.sweeps import PICTURES

STEP_NATS = 0.02  # from one x to the next: smaller steps are ignored
LEVEL_NATS = 0.05  # from the first x to any other: an estimate that stays within this is level
CONFIDENCE = 0.95
RISES, FALLS, TURNS, LEVEL, UNCLEAR = "rises", "falls", "turns", "level", "unclear"

TREND_SCHEMA = {
    "sweep": pl.String(),
    "estimator": pl.String(),
    "kind": pl.String(),
    "quantity": pl.String(),
    "first_x": pl.Float64(),
    "last_x": pl.Float64(),
    "first_nats": pl.Float64(),  # mean over the replicates
    "last_nats": pl.Float64(),
    "change_nats": pl.Float64(),  # of paired differences between the ends: mean and 95 % t interval
    "change_low": pl.Float64(),
    "change_high": pl.Float64(),
    "largest_step_up": pl.Float64(),  # between neighbours, mean over the replicates; 0 where there is none
    "largest_step_down": pl.Float64(),
    "first_truth_nats": pl.Float64(),
    "last_truth_nats": pl.Float64(),
    "saturated_share": pl.Float64(),  # kind of the values
    "direction": pl.String(),  # RISES, FALLS, TURNS, LEVEL, UNCLEAR
}


def trends(measurements: pl.DataFrame) -> pl.DataFrame:
    """Decide for every curve of every sweep how it changes with x.

    A step is the difference between neighbouring x. It counts if its t interval over the replicates lies beyond
    `STEP_NATS`; the confidence is corrected for the number of steps in the curve. A curve rises if some step rises and
    none falls, falls if some step falls and none rises, and turns if there are both. If no step counts, the curve is
    level if it stays within `LEVEL_NATS` of its start, rises or falls if its ends differ significantly, and is unclear
    otherwise.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`.

    Returns:
        One row per sweep, estimator and quantity, columns as in `TREND_SCHEMA`.
    """
    keys = ["sweep", "estimator", "kind", "quantity"]
    curves = with_standing(measurements).filter(pl.col("sweep") != PICTURES).group_by(keys, maintain_order=True)
    return pl.DataFrame(
        [dict(zip(keys, names, strict=True)) | _trend(rows) for names, rows in curves], schema=TREND_SCHEMA
    )


def _trend(rows: pl.DataFrame) -> dict[str, Any]:
    rows = rows.sort("x", "replicate")
    xs = rows["x"].unique().sort()
    values = rows["value_nats"].to_numpy().reshape(len(xs), -1)  # (x, replicate)
    truths = rows.group_by("x").agg(pl.col("truth_nats").mean()).sort("x")["truth_nats"]
    change, error = _mean(values[-1:] - values[:1], CONFIDENCE)
    steps = np.diff(values, axis=0).mean(axis=1)
    return {
        "first_x": xs[0],
        "last_x": xs[-1],
        "first_nats": values[0].mean(),
        "last_nats": values[-1].mean(),
        "change_nats": change[0],
        "change_low": change[0] - error[0],
        "change_high": change[0] + error[0],
        "largest_step_up": steps.max(initial=0.0),
        "largest_step_down": steps.min(initial=0.0),
        "first_truth_nats": truths[0],
        "last_truth_nats": truths[-1],
        "saturated_share": rows["saturated"].mean(),
        "direction": direction(values),
    }


def direction(values: NDArray[np.float64]) -> str:
    """Return the direction of a curve, `(x, replicates)` in nats with at least two replicates; see `trends`."""
    shared = 1 - (1 - CONFIDENCE) / max(1, len(values) - 1)
    steps, errors = _mean(np.diff(values, axis=0), shared)
    up, down = bool((steps - errors > STEP_NATS).any()), bool((steps + errors < -STEP_NATS).any())
    if up or down:
        return TURNS if up and down else RISES if up else FALLS
    moved, error = _mean(values - values[0], shared)
    if (np.abs(moved) + error < LEVEL_NATS).all():
        return LEVEL
    change, error = _mean(values[-1:] - values[:1], CONFIDENCE)
    return RISES if change[0] > error[0] else FALLS if change[0] < -error[0] else UNCLEAR


def _mean(differences: NDArray[np.float64], confidence: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over the replicates of each row, and half the width of its t interval."""
    replicates = differences.shape[1]
    error = differences.std(axis=1, ddof=1) / np.sqrt(replicates)
    return differences.mean(axis=1), error * student.ppf((1 + confidence) / 2, replicates - 1)
