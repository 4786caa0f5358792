"""Claim 2: adversarial training lags, and ends lower.

The final level is that of the last epoch at which both trainings of a seed were measured, so that they are compared
after equally many epochs. Seeds that did not come as far as the furthest one are left out and named. A training that
lags may end higher, so nothing is decided before its end: levels and lags are undecided where the plan of the trainings
goes on, where one training is measured for longer than the other, and before the learning rate first falls (`Plan`).

The verdict on the final I(X;T) must be the same over a range of noise (`noise_range`), because the sign of the
difference can change with the noise. The noise is swept at the last epoch only, so the lag of I(X;T) is known at
relative noise alone.

The lag compares the first epoch at which a curve reaches initial + 0.9 (final - initial). Nothing is interpolated. A
curve that is below this threshold at one measured epoch and above it at the next reached it at one of the epochs after
the first: the middle of these is its value, and all of them belong to its interval. So do all epochs at which the curve
does not differ from its threshold by more than the paired error. For a curve of one direction that makes a confidence
interval, with the bounds of either training at half the level, as if both erred together. A lag is defined if both
curves change in the same direction (a fall can lag as well) by more than their error, and neither is saturated from the
start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.claim import Claim
from infoplane.findings.curves import PRIMARY, QUANTITIES, Curve, Curves, Finished, Series, reach
from infoplane.findings.evidence import LEVEL, Evidence, average_bounds, t_ends
from infoplane.findings.finding import Judge, Number, Statement, against, undecidable
from infoplane.findings.layers import (
    InLayer,
    change,
    contrast,
    difference,
    layer_statements,
    mean_statement,
    paired,
)
from infoplane.findings.noise_range import ONE_NOISE, OverNoise, Profiles, mean_over_noise, over_noise
from infoplane.findings.plan import Plan
from infoplane.records.tables import (
    ADVERSARIAL,
    ADVERSARIAL_TRAINING,
    INPUT_INFORMATION,
    NORMAL_TRAINING,
    ORIGINAL,
)

SHARE = 0.9  # of its change, after which a curve counts as risen

ADVERSARIAL_LAGS = Claim(
    number="2",
    name="adversarial lags",
    text="Adversarial training lags: its curves rise later, and its final I(X;T) and I(T;Y) are lower.",
    trainings=(NORMAL_TRAINING, ADVERSARIAL_TRAINING),
    needs_several_seeds=True,
    statements=lambda at_hand: level_statements(
        at_hand.curves, at_hand.adversarial, plan=at_hand.plan, profiles=at_hand.profiles
    ),
)


@dataclass(frozen=True)
class _Compared:
    """The same curve of both trainings in every layer, seed by seed; None where a layer does not have both."""

    adversarial: str  # the training
    examples: str
    estimator: str
    quantity: str
    primary: bool
    pairs: Mapping[str, Finished | None]
    plan: Plan
    profiles: Profiles

    @property
    def trainings(self) -> tuple[str, str]:
        return NORMAL_TRAINING, self.adversarial

    @property
    def where(self) -> str:
        return f"({self.examples} examples{reach(self.pairs.values())})"

    @property
    def missing(self) -> str:
        return f"missing: not recorded for both {NORMAL_TRAINING} and {self.adversarial} training"


def level_statements(
    curves: Curves, adversarial: str = ADVERSARIAL_TRAINING, *, plan: Plan, profiles: Profiles
) -> list[Statement]:
    """Return final differences and lags by every estimator: the mean over layers, then each layer."""
    statements = []
    for quantity in QUANTITIES:
        for estimator in curves.estimators(quantity):
            for examples in (ORIGINAL, ADVERSARIAL):
                primary = estimator == PRIMARY[quantity] and examples == ORIGINAL
                pairs = {}
                for layer in curves.layers:
                    both = (NORMAL_TRAINING, adversarial)
                    wanted = [Series(one, examples, layer, estimator, quantity) for one in both]
                    pairs[layer[1]] = curves.finished(*wanted)
                compared = _Compared(adversarial, examples, estimator, quantity, primary, pairs, plan, profiles)
                if primary or any(pairs.values()):
                    statements += [*_final_statements(compared), *_lag_statements(compared)]
    return statements


def _final_statements(compared: _Compared) -> list[Statement]:
    found = {layer: _final_difference(pair, compared) for layer, pair in compared.pairs.items()}
    quantity, adversarial = compared.quantity, compared.adversarial
    like = Statement(
        statement=f"normal training ends with more {quantity} than {adversarial} training {compared.where}",
        statistic=f"final level, normal - {adversarial} training",
        estimator=compared.estimator,
        quantity=quantity,
        unit="nats",
        judge=undecidable(""),
    )

    def judge(one: OverNoise) -> Judge:
        return one.judge(above=True)

    statements = layer_statements(found, like, judge)
    mean = mean_statement(
        found,
        like,
        part=f"final {quantity}" if compared.primary else "",
        mean=mean_over_noise,
        value=lambda one: one.value,
        judge=judge,
        numbers=OverNoise.numbers,
    )
    return [_at_epoch(mean, compared), *statements]


def _at_epoch(mean: Statement, compared: _Compared) -> Statement:
    """Name the epoch in the verdict, the noise of a lag of I(X;T), and layers that more examples would change."""
    epochs = [pair.epoch for pair in compared.pairs.values() if pair is not None]
    few = [
        layer
        for layer, pair in compared.pairs.items()
        if pair is not None and any(curve.undersampled[-1] for own in pair.curves for curve in own)
    ]
    undersampled = f"undersampled: {', '.join(few)}" if few and mean.value is not None else ""
    one_noise = ONE_NOISE if compared.quantity == INPUT_INFORMATION and mean.unit == "epochs" else ""
    at = f"at epoch {max(epochs)}" if epochs else ""
    return replace(mean, scope="; ".join(filter(None, (at, mean.scope, one_noise, undersampled))))


def _final_difference(pair: Finished | None, compared: _Compared) -> InLayer[OverNoise]:
    if pair is None:
        return InLayer(result=None, reason=compared.missing)
    numbers = tuple(
        Number(f"{training}, epoch {pair.epoch}", float(np.mean([curve.values[-1] for curve in own])), "nats")
        for training, own in zip(compared.trainings, pair.curves, strict=True)
    )
    both = [curve for own in pair.curves for curve in own]
    result = paired(
        [
            difference(contrast(normal, {-1: 1.0}), contrast(adversarial, {-1: 1.0}))
            for normal, adversarial in zip(*pair.curves, strict=True)
        ]
    )
    of_input = (compared.estimator, compared.quantity) == (PRIMARY[INPUT_INFORMATION], INPUT_INFORMATION)
    by_share = over_noise(compared.profiles, pair) if of_input else None
    found = OverNoise(result, by_share)
    known = InLayer[OverNoise](
        result=None,
        seeds=len(pair.seeds),
        value=found.value,
        numbers=(*numbers, *found.numbers()),
        reason=compared.plan.too_early(pair.epoch, pair.lasts) or "saturated",
    )
    if known.reason != "saturated" or any(curve.saturated[-1] for curve in both):
        return known
    if any(curve.null_like[-1] for curve in both):
        return replace(known, reason="null-like")
    return replace(known, result=found, reason="")


def _lag_statements(compared: _Compared) -> list[Statement]:
    found = {layer: _lag(pair, compared) for layer, pair in compared.pairs.items()}
    quantity, adversarial = compared.quantity, compared.adversarial
    like = Statement(
        statement=f"{quantity} reaches {SHARE:.0%} of its change later in {adversarial} training {compared.where}",
        statistic=f"lag of {adversarial} behind normal training",
        estimator=compared.estimator,
        quantity=quantity,
        unit="epochs",
        judge=undecidable(""),
    )
    judge = partial(against, above=True)
    statements = layer_statements(found, like, judge)
    mean = mean_statement(
        found,
        like,
        part=f"lag of {quantity}" if compared.primary else "",
        mean=average_bounds,
        value=lambda one: one.value,
        judge=judge,
    )
    return [_at_epoch(mean, compared), *statements]


def _lag(pair: Finished | None, compared: _Compared) -> InLayer[Evidence]:
    if pair is None:
        return InLayer(result=None, reason=compared.missing)
    reason = compared.plan.too_early(pair.epoch, pair.lasts)
    reason = reason or _undefined([curve for own in pair.curves for curve in own])
    if reason:
        return InLayer(result=None, reason=reason, seeds=len(pair.seeds))
    middles = [[float(np.mean(reached(curve, None))) for curve in own] for own in pair.curves]

    def over_examples(alpha: float) -> tuple[float, float]:
        normal, adversarial = (np.mean([reached(curve, alpha / 2) for curve in own], axis=0) for own in pair.curves)
        return float(adversarial[0] - normal[1]), float(adversarial[1] - normal[0])

    evidence = Evidence(values=np.array(middles[1]) - np.array(middles[0]), over_examples=over_examples)
    numbers = tuple(
        Number(f"{training}, reached at", float(np.mean(own)), "epochs")
        for training, own in zip(compared.trainings, middles, strict=True)
    )
    return InLayer(result=evidence, seeds=len(pair.seeds), value=evidence.value, numbers=numbers)


def _undefined(both: Sequence[Curve]) -> str:
    """Say why there is no lag, if there is none."""
    if len(both[0].epochs) < 2:
        return "missing: one epoch is no curve"
    if any(curve.saturated[0] for curve in both):
        return "saturated from the start"
    if any(curve.null_like[-1] for curve in both):
        return "null-like"
    directions = {_direction(curve) for curve in both}
    if 0 in directions:
        return "no lag: a curve changes by less than its error"
    return "no lag: one curve rises and another falls" if len(directions) > 1 else ""


def _direction(curve: Curve) -> int:
    """Whether a curve ends higher (1) or lower (-1) than it began, or neither by more than its error (0)."""
    interval = change(curve, 0, -1).interval(LEVEL)
    return (interval.low > NUMERICAL_ERROR) - (interval.high < -NUMERICAL_ERROR)


def reached(curve: Curve, alpha: float | None) -> tuple[int, int]:
    """Return the first and the last epoch at which a curve may first have reached `SHARE` of its change.

    Args:
        curve: of at least two epochs, that changes.
        alpha: level of the errors of its values; None takes the values as they are.
    """
    sign = 1.0 if curve.values[-1] > curve.values[0] else -1.0
    epochs = len(curve.epochs)
    weights = sign * np.eye(epochs)
    weights[:, 0] -= sign * (1 - SHARE)
    weights[:, -1] -= sign * SHARE
    low = high = weights @ curve.values
    if alpha is not None:
        low, high = t_ends(low, weights @ curve.groups, alpha)
        low, high = low - NUMERICAL_ERROR, high + NUMERICAL_ERROR
    may, must = _first(high >= 0), _first(low >= 0)
    return curve.epochs[may - 1] + 1 if may else curve.epochs[0], curve.epochs[must]


def _first(flags: NDArray[np.bool_]) -> int:
    """Position of the first true flag; the last position where there is none."""
    return int(flags.argmax()) if flags.any() else len(flags) - 1
