"""How accuracy and information of a network respond to a distortion: slopes relative to undistorted examples."""

import math
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from infoplane.distortions import distortion_named
from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.accuracies import accuracy_error
from infoplane.findings.curves import group_matrix
from infoplane.findings.evidence import LEVEL, Floats, t_quantile
from infoplane.records.tables import INPUT_INFORMATION

Network = tuple[Any, ...]  # (seed, training)


class Response(NamedTuple):
    """One number of one network at each level of a distortion, the undistorted first."""

    levels: tuple[float, ...]
    values: Floats  # (levels,)
    groups: Floats  # (levels, groups); without columns for accuracies
    errors: Floats  # (levels,) standard errors
    chance: float
    chance_known: bool = True  # otherwise no null was taken
    margin: float = 0.0  # above chance, that still counts as chance
    poor: str = ""  # why the numbers cannot be compared, if they cannot


def strengths(levels: tuple[float, ...]) -> Floats:
    """Return how strong a distortion is at each level, from 0 to 1; its identity stands first."""
    identity, numbers = levels[0], np.array(levels)
    if math.isinf(identity):
        strength: Floats = 1 / numbers
    else:
        strength = np.log(numbers / identity) if identity else numbers
    return strength / strength.max() if strength.max() > 0 else strength


def slope_weights(levels: tuple[float, ...]) -> Floats:
    """Return weights, `(levels,)`, of the least-squares slope over strength."""
    strength = strengths(levels)
    centred: Floats = strength - strength.mean()
    return centred / (centred @ centred)


def relative_slope(response: Response) -> tuple[float, Floats, float]:
    """Return the slope of a response relative to its undistorted value above chance, with its error to first order.

    Returns:
        The slope, its value in each group of examples, `(groups,)`, and its standard error if levels are independent.
    """
    weights = slope_weights(response.levels)
    whole = float(response.values[0]) - response.chance
    slope = float(weights @ response.values) / whole
    # The undistorted value stands in the numerator, as one of the levels, and in the denominator.
    gradient = weights / whole
    gradient[0] -= slope / whole
    deviations = response.groups - response.values[:, None]
    return slope, slope + gradient @ deviations, float(np.sqrt((gradient**2) @ response.errors**2))


def responses_of_accuracy(rows: pl.DataFrame, distortion: str, chance: float) -> dict[Network, Response]:
    """Return the accuracy of each network along a distortion.

    Args:
        rows: columns of `records.PERFORMANCE_SCHEMA`, of one distortion and kind of examples.
        distortion: its name.
        chance: accuracy without information.
    """
    return {network: _of_accuracy(own, chance) for network, own in _networks(rows, distortion)}


def responses_of_information(rows: pl.DataFrame, distortion: str) -> dict[Network, Response]:
    """Return the information of each network along a distortion.

    Args:
        rows: columns of `records.MEASUREMENT_SCHEMA`, of one distortion, kind of examples, layer, estimator, quantity.
        distortion: its name.
    """
    return {network: _of_information(own) for network, own in _networks(rows, distortion)}


def _networks(rows: pl.DataFrame, distortion: str) -> list[tuple[Network, pl.DataFrame]]:
    """Split rows by network, in the order of levels from the identity on."""
    ordered = rows.sort("level", descending=math.isinf(distortion_named(distortion).identity))
    return list(ordered.partition_by("seed", "training", as_dict=True).items())


def _of_accuracy(rows: pl.DataFrame, chance: float) -> Response:
    values = rows["accuracy"].to_numpy()
    errors = accuracy_error(values, rows["n"].cast(pl.Float64).to_numpy())
    return Response(tuple(rows["level"]), values, np.empty((len(rows), 0)), errors, chance)


def _of_information(rows: pl.DataFrame) -> Response:
    values, errors = (
        rows["value_nats"].to_numpy(),
        rows["standard_error"].cast(pl.Float64).fill_null(math.inf).to_numpy(),
    )
    null = rows["null_mean_nats"][0]
    return Response(
        levels=tuple(rows["level"]),
        values=values,
        groups=group_matrix(rows),
        errors=errors,
        chance=null or 0.0,
        chance_known=null is not None or rows["quantity"][0] == INPUT_INFORMATION,
        margin=NUMERICAL_ERROR,
        poor="saturated" if rows["saturated"].any() else "null-like" if rows["null_like"][0] else "",
    )


def no_slopes(responses: list[Response], distortion: str) -> str:
    """Say why slopes of these networks cannot be compared, if they cannot."""
    identity = distortion_named(distortion).identity
    if any(one.poor for one in responses):
        return next(one.poor for one in responses if one.poor)
    levels = responses[0].levels
    if len(levels) < 2 or levels[0] != identity or any(one.levels != levels for one in responses):
        return "missing: the undistorted level and at least one more, the same for both trainings"
    quantile = t_quantile(LEVEL, math.inf)
    if any(one.values[0] - quantile * one.errors[0] <= one.chance + one.margin for one in responses):
        return "no slope: a network is at chance on undistorted examples"
    return ""
