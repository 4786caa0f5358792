"""Claim 2: adversarial training lags, and ends lower.

A final level is that of the last epoch that both trainings were measured at.

The lag follows its definition, the first epoch at initial + 0.9 (final - initial), an integer. Epochs may lie apart
where nothing was measured; nothing is interpolated. A curve below the threshold at one measured epoch and above it at
the next got there at one of the epochs after the first: their middle is its value, and all of them belong to its
interval. So do all epochs at which the curve cannot be told from its threshold, a linear combination of three records
with a paired error. For a curve of one direction that makes a confidence interval, with the bounds of either training
at half the level, as if both erred together. A lag needs both curves to change, in the same direction (a fall
can lag as well), by more than their error, and neither to be saturated from the start.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infoplane.findings.curves import (
    ADVERSARIAL,
    ATTACKED,
    NORMAL,
    ORIGINAL,
    PRIMARY,
    QUANTITIES,
    Curve,
    Curves,
    Series,
    common_epochs,
)
from infoplane.findings.evidence import LEVEL, Evidence, Paired, average_bounds, t_ends
from infoplane.findings.finding import Number, Statement, against, undecidable
from infoplane.findings.layers import (
    InLayer,
    change,
    contrast,
    difference,
    layer_statements,
    mean_of_paired,
    mean_statement,
    paired,
)

CLAIM = 2
SHARE = 0.9  # of its change, after which a curve counts as risen


class _Pair(NamedTuple):
    """The same curve of both trainings, seed by seed, at the epochs that all have."""

    normal: list[Curve]
    adversarial: list[Curve]

    @property
    def both(self) -> list[Curve]:
        return [*self.normal, *self.adversarial]


def level_statements(curves: Curves) -> list[Statement]:
    """Return final differences and lags by every estimator: the mean over layers, then each layer."""
    statements = []
    for quantity in QUANTITIES:
        for estimator in curves.estimators(quantity):
            for examples in (ORIGINAL, ATTACKED):
                primary = estimator == PRIMARY[quantity] and examples == ORIGINAL
                pairs = {layer[1]: _pair(curves, examples, layer, estimator, quantity) for layer in curves.layers}
                if not primary and not any(pairs.values()):
                    continue
                statements += _final_statements(pairs, examples, estimator, quantity, primary=primary)
                statements += _lag_statements(pairs, examples, estimator, quantity, primary=primary)
    return statements


def _pair(curves: Curves, examples: str, layer: tuple[int, str], estimator: str, quantity: str) -> _Pair | None:
    both = [Series(training, examples, layer, estimator, quantity) for training in (NORMAL, ADVERSARIAL)]
    normal, adversarial = curves.of(*both)
    epochs = common_epochs([*normal, *adversarial])
    if not epochs:
        return None
    return _Pair([curve.at(epochs) for curve in normal], [curve.at(epochs) for curve in adversarial])


def _final_statements(
    pairs: dict[str, _Pair | None], examples: str, estimator: str, quantity: str, *, primary: bool
) -> list[Statement]:
    found = {layer: _final_difference(pair) for layer, pair in pairs.items()}
    like = Statement(
        claim=CLAIM,
        statement=f"normal training ends with more {quantity} than adversarial training ({examples} examples)",
        statistic="final level, normal - adversarial training",
        estimator=estimator,
        quantity=quantity,
        unit="nats",
        judge=undecidable(""),
    )
    statements = layer_statements(found, like, lambda one: against(one.evidence(), 0, above=True))
    mean = mean_statement(
        found,
        like,
        part=f"final {quantity}" if primary else "",
        mean=mean_of_paired,
        value=lambda one: one.evidence().value,
        judge=lambda one: against(one.evidence(), 0, above=True),
    )
    return [mean, *statements]


def _final_difference(pair: _Pair | None) -> InLayer[Paired]:
    if pair is None:
        return InLayer(result=None, reason="missing: not recorded for both trainings")
    last = pair.normal[0].epochs[-1]
    numbers = tuple(
        Number(f"{training}, epoch {last}", float(np.mean([curve.values[-1] for curve in own])), "nats")
        for training, own in ((NORMAL, pair.normal), (ADVERSARIAL, pair.adversarial))
    )
    result = paired(
        [
            difference(contrast(normal, {-1: 1.0}), contrast(adversarial, {-1: 1.0}))
            for normal, adversarial in zip(pair.normal, pair.adversarial, strict=True)
        ]
    )
    known = InLayer[Paired](
        result=None, seeds=len(pair.normal), value=result.evidence().value, numbers=numbers, reason="saturated"
    )
    if any(curve.saturated[-1] for curve in pair.both):
        return known
    if any(curve.null_like[-1] for curve in pair.both):
        return replace(known, reason="null-like")
    return replace(known, result=result, reason="")


def _lag_statements(
    pairs: dict[str, _Pair | None], examples: str, estimator: str, quantity: str, *, primary: bool
) -> list[Statement]:
    found = {layer: _lag(pair) for layer, pair in pairs.items()}
    like = Statement(
        claim=CLAIM,
        statement=f"{quantity} comes to {SHARE:.0%} of its change later in adversarial training ({examples} examples)",
        statistic="lag of adversarial behind normal training",
        estimator=estimator,
        quantity=quantity,
        unit="epochs",
        judge=undecidable(""),
    )
    judge = partial(against, border=0, above=True)
    statements = layer_statements(found, like, judge)
    mean = mean_statement(
        found,
        like,
        part=f"lag of {quantity}" if primary else "",
        mean=average_bounds,
        value=lambda one: one.value,
        judge=judge,
    )
    return [mean, *statements]


def _lag(pair: _Pair | None) -> InLayer[Evidence]:
    if pair is None:
        return InLayer(result=None, reason="missing: not recorded for both trainings")
    reason = _undefined(pair)
    if reason:
        return InLayer(result=None, reason=reason, seeds=len(pair.normal))
    middles = [[float(np.mean(reached(curve, None))) for curve in own] for own in pair]

    def over_examples(alpha: float) -> tuple[float, float]:
        normal, adversarial = (np.mean([reached(curve, alpha / 2) for curve in own], axis=0) for own in pair)
        return float(adversarial[0] - normal[1]), float(adversarial[1] - normal[0])

    evidence = Evidence(values=np.array(middles[1]) - np.array(middles[0]), over_examples=over_examples)
    numbers = tuple(
        Number(f"{training}, reached at", float(np.mean(own)), "epochs")
        for training, own in zip((NORMAL, ADVERSARIAL), middles, strict=True)
    )
    return InLayer(result=evidence, seeds=len(pair.normal), value=evidence.value, numbers=numbers)


def _undefined(pair: _Pair) -> str:
    """Say why there is no lag, if there is none."""
    if len(pair.normal[0].epochs) < 2:
        return "missing: one epoch is no curve"
    if any(curve.saturated[0] for curve in pair.both):
        return "saturated from the start"
    if any(curve.null_like[-1] for curve in pair.both):
        return "null-like"
    directions = {_direction(curve) for curve in pair.both}
    if 0 in directions:
        return "no lag: a curve changes by less than its error"
    return "no lag: one curve rises and another falls" if len(directions) > 1 else ""


def _direction(curve: Curve) -> int:
    """Whether a curve ends higher (1) or lower (-1) than it began, or neither by more than its error (0)."""
    interval = change(curve, 0, -1).interval(LEVEL)
    return (interval.low > 0) - (interval.high < 0)


def reached(curve: Curve, alpha: float | None) -> tuple[int, int]:
    """Return the first and the last epoch at which a curve may first have come to `SHARE` of its change.

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
    may, must = _first(high >= 0), _first(low >= 0)
    return curve.epochs[may - 1] + 1 if may else curve.epochs[0], curve.epochs[must]


def _first(flags: NDArray[np.bool_]) -> int:
    """Position of the first true one; the last position where there is none, since the end is there by definition."""
    return int(flags.argmax()) if flags.any() else len(flags) - 1
