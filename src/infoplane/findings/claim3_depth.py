"""Claim 3b: the estimates do not always fall with depth.

A depth-order reversal is a layer with more I(X;T) than the one before it, at the last epoch. Noise is added to each
layer separately, so the noisy layers form no Markov chain and a reversal violates no inequality. One certain reversal
supports the claim: its interval, over examples and seeds and at the level divided by the number of comparisons, lies
above the numerical error of the estimators (`NUMERICAL_ERROR`). It must do so at relative noise and at every share of
the range (`noise_range`), because the order of two layers can depend on the noise. The claim is contradicted if every
layer certainly has less than the one before it, at all these noises. Values that are saturated, null-like or missing
are not compared: such a pair may be a reversal, and the verdict names it.
"""

from dataclasses import replace
from typing import NamedTuple

from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.claim import Claim
from infoplane.findings.curves import PRIMARY, QUANTITIES, Curve, Curves, Series
from infoplane.findings.evidence import LEVEL
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
from infoplane.findings.noise_range import OverNoise, Profiles, over_noise
from infoplane.records.tables import ADVERSARIAL_TRAINING, INPUT_INFORMATION, NORMAL_TRAINING, ORIGINAL

NOT_ALWAYS_FALLING = Claim(
    number="3b",
    name="order of depth",
    text="The estimates do not always fall with depth.",
    trainings=(NORMAL_TRAINING, ADVERSARIAL_TRAINING),
    statements=lambda at_hand: reversal_statements(at_hand.curves, at_hand.adversarial, profiles=at_hand.profiles),
)


class _Rise(NamedTuple):
    name: str
    epoch: int
    seeds: int
    difference: OverNoise
    undersampled: bool  # one of the two values: more examples would change it


class _Compared(NamedTuple):
    """Pairs of neighbouring layers: how much more the later one has, and those that cannot be compared."""

    rises: list[_Rise]
    left_out: list[str]


def reversal_statements(
    curves: Curves, adversarial: str = ADVERSARIAL_TRAINING, *, profiles: Profiles
) -> list[Statement]:
    """Count reversals by every estimator in every training; I(X;T) by the primary one decides."""
    statements = []
    for quantity in QUANTITIES:
        for estimator in curves.estimators(quantity):
            found = {
                training: _rises(curves, profiles, training, estimator, quantity)
                for training in (NORMAL_TRAINING, adversarial)
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
                both = found.values()
                together = _Compared(
                    [one for own in both for one in own.rises], [one for own in both for one in own.left_out]
                )
                statements.append(_counted(main, together))
            for training, own in found.items():
                if own.rises:
                    text = f"{like.statement} ({training} training)"
                    statements.append(_counted(replace(like, statement=text), own))
    return statements


def _rises(curves: Curves, profiles: Profiles, training: str, estimator: str, quantity: str) -> _Compared:
    """Return how much more each layer has than the one before it, where neither is saturated or null-like."""
    rises, left_out, missing = [], [], []
    for before, layer in zip(curves.layers[:-1], curves.layers[1:], strict=True):
        wanted = [Series(training, ORIGINAL, one, estimator, quantity) for one in (layer, before)]
        finished = curves.finished(*wanted)
        name = f"{layer[1]} - {before[1]}, {training}"
        if finished is None:
            missing.append(name)
            continue
        if not all(_speaks(curve) for own in finished.curves for curve in own):
            left_out.append(name)
            continue
        own = [
            difference(contrast(deep, {-1: 1.0}), contrast(shallow, {-1: 1.0}))
            for deep, shallow in zip(*finished.curves, strict=True)
        ]
        of_input = (estimator, quantity) == (PRIMARY[INPUT_INFORMATION], INPUT_INFORMATION)
        by_share = over_noise(profiles, finished) if of_input else None
        few = any(curve.undersampled[-1] for one in finished.curves for curve in one)
        rises.append(_Rise(name, finished.epoch, len(finished.seeds), OverNoise(paired(own), by_share), few))
    return _Compared(rises, left_out + (missing if rises or left_out else []))


def _speaks(curve: Curve) -> bool:
    return not (curve.saturated[-1] or curve.null_like[-1])


def _counted(like: Statement, compared: _Compared) -> Statement:
    rises, left_out = compared
    if not rises:
        return like

    def judge(alpha: float) -> Judgement:
        level = alpha / len(rises)
        verdicts = [one.difference.judge(above=True)(level).verdict for one in rises]
        certain = verdicts.count(SUPPORTED)
        possible = len(rises) + len(left_out) - verdicts.count(CONTRADICTED)
        verdict = SUPPORTED if certain else UNDECIDED if possible else CONTRADICTED
        reason = _REASONS[verdict]
        if verdict == UNDECIDED and verdicts.count(CONTRADICTED) == len(rises):
            reason = "every layer that can be compared has less than the one before it, and not all can be compared"
        if verdict == UNDECIDED and any(_at_relative_noise(one, level) for one in rises):
            reason = "depends on the noise: a reversal is certain at relative noise, not at every noise"
        return Judgement(verdict, certain, possible, f"{reason}; interval: certain to possible reversals")

    epoch = max(one.epoch for one in rises)
    return replace(
        like,
        judge=judge,
        value=judge(LEVEL).low,
        seeds=min(one.seeds for one in rises),
        numbers=tuple(number for one in rises for number in _numbers(one)),
        scope="; ".join([f"at epoch {epoch}", *_limits(compared)]),
    )


def _limits(compared: _Compared) -> list[str]:
    """Say which pairs were not compared, and which were compared at hardly any other noise or with too few examples."""
    rises, left_out = compared
    said = []
    if left_out:
        whole = len(rises) + len(left_out)
        said.append(f"{len(rises)} of {whole} pairs of layers could be compared, not {'; '.join(left_out)}")
    for one in rises:
        shares = one.difference.by_share
        if shares is not None and len(shares) < 2:
            other = f" and noise share {next(iter(shares)):g}" if shares else ""
            said.append(f"{one.name} at relative noise{other} alone")
    if few := [one.name for one in rises if one.undersampled]:
        said.append(f"undersampled: {'all pairs' if len(few) == len(rises) else '; '.join(few)}")
    return said


def _at_relative_noise(rise: _Rise, alpha: float) -> bool:
    return rise.difference.main.evidence().interval(alpha).low > NUMERICAL_ERROR


def _numbers(rise: _Rise) -> list[Number]:
    """Return the rise at relative noise, and its lowest and highest value over the noise range."""
    over = sorted(number.value for number in rise.difference.numbers())
    ends = {"lowest": over[0], "highest": over[-1]} if over else {}
    return [
        Number(rise.name, rise.difference.value, "nats"),
        *(Number(f"{end} over the noise range", value, "nats") for end, value in ends.items()),
    ]


_REASONS = {
    SUPPORTED: "a layer has more than the one before it, by more than the error",
    UNDECIDED: "a reversal is possible within the errors",
    CONTRADICTED: "every layer has less than the one before it, by more than the error",
}
