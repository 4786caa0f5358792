"""Claim 4: normal training prefers texture, adversarial training shape.

Along each distortion the accuracy and the last layer's information are followed relative to what the same network has
undistorted, both above chance: r(level) = (v(level) - chance) / (v(undistorted) - chance). The statistic is the slope
of r over the distortion's strength, log(level / identity) from 0 to 1, by least squares: -1 is what a network has that
falls from everything to chance along a line. Patch-shuffling destroys shape, so the claim wants adversarial training to
fall more steeply; saturation destroys texture, so there it wants normal training to. Chance is exp(-H(Y)) of accuracy,
which is one in the number of classes where these are balanced, the mean of permuted labels of I(T;Y), and 0 of I(X;T).

A network that is not above chance undistorted has no slope. Records of accuracy hold no groups: networks and levels
then count as independent samples of examples, which overstates the error of their differences.
"""

import itertools
import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from infoplane.findings.curves import ADVERSARIAL, ATTACKED, NORMAL, ORIGINAL, PRIMARY, group_matrix, with_standing
from infoplane.findings.evidence import LEVEL, Evidence, Floats, normal_evidence, t_quantile
from infoplane.findings.finding import Number, Statement, against, undecidable
from infoplane.findings.layers import difference, paired
from infoplane.records import INPUT_INFORMATION, LABEL_INFORMATION

CLAIM = 4
SATURATION, SHUFFLING = "saturation", "shuffling"
IDENTITY = {SHUFFLING: 1.0, SATURATION: 2.0}  # levels that change nothing
_STEEPER = {SATURATION: NORMAL, SHUFFLING: ADVERSARIAL}
ACCURACY = "accuracy"


class Response(NamedTuple):
    """One number of one network at each level of a distortion, the undistorted first."""

    levels: tuple[float, ...]
    values: Floats  # (levels,)
    groups: Floats  # (levels, groups); without columns for accuracies
    errors: Floats  # (levels,) standard errors
    chance: float
    poor: str = ""  # why the numbers cannot be compared, if they cannot


def slope_weights(levels: tuple[float, ...]) -> Floats:
    """Return weights, `(levels,)`, of the least-squares slope over strength, which goes from 0 to 1."""
    strengths = np.log(np.array(levels) / levels[0])
    strengths = strengths / strengths.max() if strengths.max() > 0 else strengths
    centred: Floats = strengths - strengths.mean()
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


def distortion_statements(measurements: pl.DataFrame, performance: pl.DataFrame) -> list[Statement]:
    """Compare the slopes of both trainings, on original examples; adversarial ones stand beside them."""
    rows = with_standing(measurements).filter(pl.col("split") == "test")
    chance = chance_of_accuracy(measurements)
    statements = []
    for distortion, examples in itertools.product(IDENTITY, (ORIGINAL, ATTACKED)):
        chosen = (pl.col("distortion") == distortion) & (pl.col("examples") == examples)
        like = Statement(
            claim=CLAIM,
            statement=f"{_STEEPER[distortion]} training loses more under {distortion} ({examples} examples)",
            statistic="slope relative to undistorted, normal - adversarial training",
            judge=undecidable("missing: no records of this distortion for both trainings"),
        )
        decisive = examples == ORIGINAL
        accuracies = performance.filter(chosen, pl.col("split") == "test")
        found = {key: _of_accuracy(own, chance) for key, own in _networks(accuracies).items()}
        part = f"accuracy under {distortion}" if decisive else ""
        statements.append(_compared(replace(like, quantity=ACCURACY, part=part), found, distortion))
        last = rows.filter(chosen).filter(pl.col("layer_index") == pl.col("layer_index").max())
        for quantity in (LABEL_INFORMATION, INPUT_INFORMATION):
            own = last.filter(pl.col("quantity") == quantity)
            primary = PRIMARY[quantity]
            for estimator in dict.fromkeys([primary, *own["estimator"].unique().sort()]):
                of_estimator = own.filter(pl.col("estimator") == estimator)
                is_part = decisive and quantity == LABEL_INFORMATION and estimator == primary
                if is_part or len(of_estimator):
                    named = replace(
                        like,
                        estimator=estimator,
                        quantity=quantity,
                        layer=of_estimator["layer"][0] if len(of_estimator) else "last layer",
                        part=f"{quantity} under {distortion}" if is_part else "",
                    )
                    found = {key: _of_information(one) for key, one in _networks(of_estimator).items()}
                    statements.append(_compared(named, found, distortion))
    return statements


def chance_of_accuracy(measurements: pl.DataFrame) -> float:
    """Return exp(-H(Y)), one in the number of classes where these are balanced; 0 where H(Y) is not recorded."""
    ceilings = measurements.filter(pl.col("quantity") == LABEL_INFORMATION)["ceiling_nats"].drop_nulls()
    return math.exp(-ceilings.to_numpy().max()) if len(ceilings) else 0.0


def accuracy_error(accuracy: Floats, examples: Floats) -> Floats:
    """Return the binomial standard error, with two successes and two failures added: none is free of error.

    Source: Agresti & Coull (1998), Amer. Statist. 52, 119.
    """
    share = (accuracy * examples + 2) / (examples + 4)
    error: Floats = np.sqrt(share * (1 - share) / (examples + 4))
    return error


def _networks(rows: pl.DataFrame) -> dict[tuple[Any, ...], pl.DataFrame]:
    """Split rows by (seed, training), in the order of levels."""
    return rows.sort("level").partition_by("seed", "training", as_dict=True)


def _of_accuracy(rows: pl.DataFrame, chance: float) -> Response:
    values = rows["accuracy"].to_numpy()
    errors = accuracy_error(values, rows["n"].cast(pl.Float64).to_numpy())
    return Response(tuple(rows["level"]), values, np.empty((len(rows), 0)), errors, chance)


def _of_information(rows: pl.DataFrame) -> Response:
    errors = rows["standard_error"].cast(pl.Float64).fill_null(math.inf).to_numpy()
    chance = rows["null_mean_nats"][0] or 0.0
    poor = "saturated" if rows["saturated"].any() else "null-like" if rows["null_like"][0] else ""
    return Response(tuple(rows["level"]), rows["value_nats"].to_numpy(), group_matrix(rows), errors, chance, poor)


def _compared(like: Statement, found: dict[tuple[Any, ...], Response], distortion: str) -> Statement:
    pairs = [
        (found[seed, NORMAL], found[seed, ADVERSARIAL])
        for seed in sorted({seed for seed, _ in found})
        if (seed, NORMAL) in found and (seed, ADVERSARIAL) in found
    ]
    if not pairs:
        return like
    reason = _why_not([one for pair in pairs for one in pair], IDENTITY[distortion])
    if reason:
        return replace(like, judge=undecidable(reason), seeds=len(pairs))
    evidence = _difference_of_slopes(pairs)
    slopes = {
        training: float(np.mean([relative_slope(pair[side])[0] for pair in pairs]))
        for side, training in enumerate((NORMAL, ADVERSARIAL))
    }
    return replace(
        like,
        value=evidence.value,
        seeds=len(pairs),
        numbers=tuple(Number(f"slope, {training} training", slope) for training, slope in slopes.items()),
        judge=against(evidence, 0, above=_STEEPER[distortion] == ADVERSARIAL),
    )


def _why_not(responses: list[Response], identity: float) -> str:
    if any(one.poor for one in responses):
        return next(one.poor for one in responses if one.poor)
    levels = responses[0].levels
    if len(levels) < 2 or levels[0] != identity or any(one.levels != levels for one in responses):
        return "missing: the undistorted level and others, the same for both trainings"
    quantile = t_quantile(LEVEL, math.inf)
    if any(one.values[0] - quantile * one.errors[0] <= one.chance for one in responses):
        return "no slope: a network is not above chance undistorted"
    return ""


def _difference_of_slopes(pairs: list[tuple[Response, Response]]) -> Evidence:
    slopes = [[relative_slope(one) for one in pair] for pair in pairs]
    if all(one.groups.shape[1] for pair in pairs for one in pair):
        differences = [difference(*((slope, groups) for slope, groups, _ in pair)) for pair in slopes]
        return paired(differences).evidence()
    values = np.array([normal[0] - adversarial[0] for normal, adversarial in slopes])
    return normal_evidence(values, np.array([math.hypot(normal[2], adversarial[2]) for normal, adversarial in slopes]))
