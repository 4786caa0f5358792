"""Claim 3, second half: the estimates do not always fall with depth.

A depth-order reversal is a layer with more information than the one before it, at the last epoch, by more than the
paired error and the numerical error of the estimators (`NUMERICAL_ERROR`). Noise is added to each layer separately, so
the noisy layers form no Markov chain and a reversal violates no inequality. One certain reversal supports the claim. It
is contradicted if no reversal is possible within the errors.

Errors are those of the choice of examples, at the level divided by the number of comparisons. Saturated and null-like
values are not compared. All seeds are counted together.
"""

from dataclasses import replace
from typing import NamedTuple

from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.curves import PRIMARY, QUANTITIES, Curve, Curves, Series
from infoplane.findings.evidence import LEVEL, Evidence
from infoplane.findings.finding import (
    ALL_CURVES,
    CONTRADICTED,
    SUPPORTED,
    UNDECIDED,
    Judgement,
    Number,
    Statement,
    undecidable,
)
from infoplane.findings.layers import contrast, difference, paired
from infoplane.records.tables import ADVERSARIAL_TRAINING, INPUT_INFORMATION, NORMAL_TRAINING, ORIGINAL


class _Rise(NamedTuple):
    seed: int
    name: str
    evidence: Evidence


def reversal_statements(curves: Curves, adversarial: str = ADVERSARIAL_TRAINING) -> list[Statement]:
    """Count reversals by every estimator in every training; I(X;T) by the primary one decides."""
    statements = []
    for quantity in QUANTITIES:
        for estimator in curves.estimators(quantity):
            found = {
                training: _rises(curves, training, estimator, quantity) for training in (NORMAL_TRAINING, adversarial)
            }
            like = Statement(
                statement=f"{quantity} does not always fall from layer to layer",
                statistic="depth-order reversals at the last epoch",
                layer=ALL_CURVES,
                estimator=estimator,
                quantity=quantity,
                judge=undecidable("saturated, null-like, or missing: no two layers to compare"),
            )
            if estimator == PRIMARY[quantity] and quantity == INPUT_INFORMATION:
                main = replace(like, part="the estimates do not always fall with depth")
                statements.append(_counted(main, [one for own in found.values() for one in own]))
            for training, own in found.items():
                if own:
                    text = f"{like.statement} ({training} training)"
                    statements.append(_counted(replace(like, statement=text), own))
    return statements


def _rises(curves: Curves, training: str, estimator: str, quantity: str) -> list[_Rise]:
    """Return how much more each layer has than the one before it, where neither is saturated or null-like."""
    rises = []
    for before, layer in zip(curves.layers[:-1], curves.layers[1:], strict=True):
        wanted = [Series(training, ORIGINAL, one, estimator, quantity) for one in (before, layer)]
        finished = curves.finished(*wanted)
        if finished is None:
            continue
        for seed, shallow, deep in zip(finished.seeds, *finished.curves, strict=True):
            if _speaks(shallow) and _speaks(deep):
                rise = difference(contrast(deep, {-1: 1.0}), contrast(shallow, {-1: 1.0}))
                name = f"{layer[1]} - {before[1]}, {training}, seed {seed}"
                rises.append(_Rise(seed, name, paired([rise]).evidence()))
    return rises


def _speaks(curve: Curve) -> bool:
    return not (curve.saturated[-1] or curve.null_like[-1])


def _counted(like: Statement, rises: list[_Rise]) -> Statement:
    if not rises:
        return like

    def judge(alpha: float) -> Judgement:
        intervals = [one.evidence.interval(alpha / len(rises)) for one in rises]
        certain = sum(one.low > NUMERICAL_ERROR for one in intervals)
        possible = sum(one.high > -NUMERICAL_ERROR for one in intervals)
        verdict = SUPPORTED if certain else UNDECIDED if possible else CONTRADICTED
        return Judgement(verdict, certain, possible, f"{_REASONS[verdict]}; interval: certain to possible reversals")

    return replace(
        like,
        judge=judge,
        value=judge(LEVEL).low,
        seeds=len({one.seed for one in rises}),
        numbers=tuple(Number(one.name, one.evidence.value, "nats") for one in rises),
    )


_REASONS = {
    SUPPORTED: "a layer has more than the one before it, by more than the error",
    UNDECIDED: "a reversal is possible within the errors",
    CONTRADICTED: "every layer has less than the one before it, by more than the error",
}
