"""Claim 4: normal training prefers texture, adversarial training shape.

Accuracy and the last layer's information are followed along each distortion, relative to the same network on
undistorted examples and above chance: r(level) = (v(level) - chance) / (v(undistorted) - chance). The statistic is the
least-squares slope of r over the strength of the distortion, from 0 to 1; a network that falls from its undistorted
value to chance along a line has slope -1. Strength is log(level / identity); the level itself where the identity is 0;
and the inverse of the level where the identity is infinite. Patch-shuffling destroys shape, so by the claim adversarial
training falls more steeply. Saturation destroys texture, so there normal training does. The other distortions are shown
beside these two and decide nothing: high-pass destroys coarse form and so shape; what low-pass, noise, grey and texture
exchange destroy counts as texture.

Chance is exp(-H(Y)) for accuracy, which is one in the number of classes if they are balanced, the mean over permuted
labels for I(T;Y), and 0 for I(X;T). If no null was taken (`--measurement.decoder-permutations 0`) it is 0 as well, the
value of decoders without information, and the statement says so.

A network that is at chance on undistorted examples has no slope. Records of accuracy have no groups of examples:
networks and levels then count as independent samples, which overstates the error of their differences.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from infoplane.distortions import DISTORTIONS, distortion_named
from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.accuracies import ACCURACY, SATURATION, accuracy_error
from infoplane.findings.claim import Claim
from infoplane.findings.curves import PRIMARY, group_matrix, rows_to_judge
from infoplane.findings.evidence import LEVEL, Evidence, Floats, normal_evidence, t_quantile
from infoplane.findings.finding import Number, Statement, against, undecidable
from infoplane.findings.layers import difference, paired
from infoplane.records.tables import (
    ADVERSARIAL,
    ADVERSARIAL_TRAINING,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    NORMAL_TRAINING,
    ORIGINAL,
)

SHUFFLING, HIGH_PASS = "shuffling", "high-pass"
DECISIVE = (SHUFFLING, SATURATION)  # what the claim is about
DESTROY_SHAPE = (SHUFFLING, HIGH_PASS)  # all others destroy texture

TEXTURE_AND_SHAPE = Claim(
    number=4,
    name="texture and shape",
    text="Normal training prefers texture, adversarial training shape.",
    trainings=(NORMAL_TRAINING, ADVERSARIAL_TRAINING),
    needs_several_seeds=True,
    statements=lambda at_hand: distortion_statements(at_hand.measurements, at_hand.performance, at_hand.adversarial),
)


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


def distortion_statements(
    measurements: pl.DataFrame, performance: pl.DataFrame, adversarial: str = ADVERSARIAL_TRAINING
) -> list[Statement]:
    """Compare the slopes of both trainings: original examples decide, adversarial ones are shown beside them."""
    rows = rows_to_judge(measurements).filter(pl.col("split") == "test")
    performance = performance.filter(pl.col("split") == "test")
    chance = chance_of_accuracy(measurements)
    recorded = {*rows["distortion"], *performance["distortion"]}
    named = [*DECISIVE, *(one.name for one in DISTORTIONS if one.name in recorded and one.name not in DECISIVE)]
    statements = []
    for distortion, examples in itertools.product(named, (ORIGINAL, ADVERSARIAL)):
        chosen = (pl.col("distortion") == distortion) & (pl.col("examples") == examples)
        decisive = distortion in DECISIVE and examples == ORIGINAL
        compared = partial(_compared, distortion=distortion, examples=examples, adversarial=adversarial)
        found = {key: _of_accuracy(own, chance) for key, own in _networks(performance.filter(chosen), distortion)}
        part = f"accuracy under {distortion}" if decisive else ""
        statements.append(compared(replace(_LIKE, quantity=ACCURACY, part=part), found))
        last = rows.filter(chosen).filter(pl.col("layer_index") == pl.col("layer_index").max())
        for quantity in (LABEL_INFORMATION, INPUT_INFORMATION):
            own = last.filter(pl.col("quantity") == quantity)
            primary = PRIMARY[quantity]
            for estimator in dict.fromkeys([primary, *own["estimator"].unique().sort()]):
                of_estimator = own.filter(pl.col("estimator") == estimator)
                is_part = decisive and quantity == LABEL_INFORMATION and estimator == primary
                if is_part or len(of_estimator):
                    like = replace(
                        _LIKE,
                        estimator=estimator,
                        quantity=quantity,
                        layer=of_estimator["layer"][0] if len(of_estimator) else "last layer",
                        part=f"{quantity} under {distortion}" if is_part else "",
                    )
                    found = {key: _of_information(one) for key, one in _networks(of_estimator, distortion)}
                    statements.append(compared(like, found))
    return statements


_LIKE = Statement(statement="", statistic="", judge=undecidable(""))


def chance_of_accuracy(measurements: pl.DataFrame) -> float:
    """Return exp(-H(Y)), one in the number of classes where these are balanced; 0 where H(Y) is not recorded."""
    ceilings = measurements.filter(pl.col("quantity") == LABEL_INFORMATION)["ceiling_nats"].drop_nulls()
    return math.exp(-ceilings.to_numpy().max()) if len(ceilings) else 0.0


_Network = tuple[Any, ...]  # (seed, training)


def _networks(rows: pl.DataFrame, distortion: str) -> list[tuple[_Network, pl.DataFrame]]:
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


def _compared(
    like: Statement, found: Mapping[_Network, Response], *, distortion: str, examples: str, adversarial: str
) -> Statement:
    both = (NORMAL_TRAINING, adversarial)
    steeper = adversarial if distortion in DESTROY_SHAPE else NORMAL_TRAINING
    pairs = [
        (found[seed, NORMAL_TRAINING], found[seed, adversarial])
        for seed in sorted({seed for seed, _ in found})
        if all((seed, training) in found for training in both)
    ]
    known = all(one.chance_known for pair in pairs for one in pair)
    null = "" if known else "; null not taken, chance counts as 0"
    like = replace(
        like,
        statement=f"{steeper} training loses more under {distortion} ({examples} examples{null})",
        statistic=f"slope relative to undistorted, normal - {adversarial} training",
        seeds=len(pairs),
    )
    if not pairs:
        return replace(like, judge=undecidable(f"missing: no records of this for both {' and '.join(both)} training"))
    reason = _why_not([one for pair in pairs for one in pair], distortion_named(distortion).identity)
    if reason:
        return replace(like, judge=undecidable(reason))
    evidence = _difference_of_slopes(pairs)
    slopes = {
        training: float(np.mean([relative_slope(pair[side])[0] for pair in pairs]))
        for side, training in enumerate(both)
    }
    return replace(
        like,
        value=evidence.value,
        numbers=tuple(Number(f"slope, {training} training", slope) for training, slope in slopes.items()),
        judge=against(evidence, above=steeper == adversarial),
    )


def _why_not(responses: list[Response], identity: float) -> str:
    if any(one.poor for one in responses):
        return next(one.poor for one in responses if one.poor)
    levels = responses[0].levels
    if len(levels) < 2 or levels[0] != identity or any(one.levels != levels for one in responses):
        return "missing: the undistorted level and at least one more, the same for both trainings"
    quantile = t_quantile(LEVEL, math.inf)
    if any(one.values[0] - quantile * one.errors[0] <= one.chance + one.margin for one in responses):
        return "no slope: a network is at chance on undistorted examples"
    return ""


def _difference_of_slopes(pairs: list[tuple[Response, Response]]) -> Evidence:
    slopes = [[relative_slope(one) for one in pair] for pair in pairs]
    if all(one.groups.shape[1] for pair in pairs for one in pair):
        differences = [difference(*((slope, groups) for slope, groups, _ in pair)) for pair in slopes]
        return paired(differences).evidence()
    values = np.array([normal[0] - adversarial[0] for normal, adversarial in slopes])
    return normal_evidence(values, np.array([math.hypot(normal[2], adversarial[2]) for normal, adversarial in slopes]))
