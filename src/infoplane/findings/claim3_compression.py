"""Claim 3: compression is almost never seen (this file), and estimates do not always fall with depth (`claim3_depth`).

A compression episode is an unbroken fall of I(X;T) over measured epochs during which I(T;Y) stays the same. The fall is
at least 5 % of the range of its curve and larger than its paired error. An episode is certain only if

- both of the two measured epochs after its peak lie below the peak by more than the error, so that the curve neither
  recovers at once nor falls at the last epoch alone;
- they lie below the peak by four times the jitter of the curve: training moves a curve by a few percent from epoch to
  epoch, however many examples it is measured on, and errors over examples do not include that;
- I(T;Y) certainly stays within 5 % of the range of its own curve. That no fall is visible is not enough.

If errors or these rules leave open whether an episode happened, it is possible: a curve has certain and possible
episodes. A curve that is saturated at some epoch, or has fewer than four epochs, cannot be judged and may have one. A
fall and recovery between two measured epochs is not seen.

The claim is about curves, one for each seed, training and layer. "Almost never" means at most one of ten, a border of
ours. The share lies between that of curves with certain episodes and that of curves with possible ones or not judged.
I(X;T) at relative noise is paired with decoded I(T;Y), at the epochs that have both.

Errors are those of the choice of examples, at the level divided by the number of comparisons. All seeds are counted
together.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.claim import Claim
from infoplane.findings.claim3_depth import reversal_statements
from infoplane.findings.curves import PRIMARY, QUANTITIES, Curve, Curves, Series, common_epochs
from infoplane.findings.evidence import LEVEL, Floats, t_ends
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
from infoplane.records.tables import (
    ADVERSARIAL,
    ADVERSARIAL_TRAINING,
    BINNING,
    DECODED,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    NOISY,
    NORMAL_TRAINING,
    ORIGINAL,
)

MATERIAL = 0.05  # of the range of a curve
RARE = 0.1  # of all curves
FEWEST_EPOCHS = 4  # of fewer, no curve can be told from its jitter
JITTERS = 4  # of 1,000 rising curves of 12 epochs that jitter by 3 to 5 % of their range some 5 pass, of flat ones 40
# The study reads both informations from the same estimator; the first pair is what the verdict rests on.
PAIRS = (
    (PRIMARY[INPUT_INFORMATION], DECODED),
    (NOISY, DECODED),
    (KDE_KL, KDE_KL),
    (KDE_BD, KDE_BD),
    (BINNING, BINNING),
)

HARDLY_COMPRESSION = Claim(
    number=3,
    name="no compression",
    text="A compression phase is almost never seen, and the estimates do not always fall with depth.",
    trainings=(NORMAL_TRAINING, ADVERSARIAL_TRAINING),
    statements=lambda at_hand: [
        *compression_statements(at_hand.curves, at_hand.adversarial),
        *reversal_statements(at_hand.curves, at_hand.adversarial),
    ],
)


class Count(NamedTuple):
    """How often something certainly happened, and how often at most."""

    certain: int
    possible: int


class _Both(NamedTuple):
    """I(X;T) and I(T;Y) of one layer of one network, at the epochs where I(X;T) is not saturated."""

    seed: int
    inputs: Curve
    labels: Curve
    unjudged: str  # why the curve cannot be judged, if it cannot


def compression_statements(curves: Curves, adversarial: str = ADVERSARIAL_TRAINING) -> list[Statement]:
    """Count compression episodes by every pair of estimators, in every layer of every training."""
    statements = []
    for estimators in PAIRS:
        for examples in (ORIGINAL, ADVERSARIAL):
            primary = estimators == PAIRS[0] and examples == ORIGINAL
            found = {
                (training, layer): _both(curves, training, examples, layer, estimators)
                for training in (NORMAL_TRAINING, adversarial)
                for layer in curves.layers
            }
            like = Statement(
                statement=f"at most {RARE:.0%} of all curves show compression ({examples} examples)",
                statistic="share of curves with a compression episode",
                layer=ALL_CURVES,
                estimator=" with ".join(dict.fromkeys(estimators)),
                quantity=f"{INPUT_INFORMATION}, {LABEL_INFORMATION}",
                judge=undecidable("missing: not recorded by these estimators"),
            )
            everything = [one for own in found.values() for one in own]
            if everything or primary:
                part = "compression is almost never seen" if primary else ""
                statements.append(_share(replace(like, part=part), everything))
            for (training, layer), own in found.items():
                if own or primary:
                    text = f"no compression ({training} training, {examples} examples)"
                    of_layer = replace(like, statement=text, statistic="compression episodes", layer=layer[1])
                    statements.append(_counted(of_layer, own))
    return statements


def _both(
    curves: Curves, training: str, examples: str, layer: tuple[int, str], estimators: tuple[str, str]
) -> list[_Both]:
    wanted = [
        Series(training, examples, layer, estimator, quantity)
        for estimator, quantity in zip(estimators, QUANTITIES, strict=True)
    ]
    found = []
    for seed in curves.seeds(*wanted):
        inputs, labels = (curves[seed, one] for one in wanted)
        common = common_epochs([inputs, labels])
        full = dict(zip(inputs.epochs, inputs.saturated.tolist(), strict=True))
        epochs = [epoch for epoch in common if not full[epoch]]
        few = f"with fewer than {FEWEST_EPOCHS} epochs" if len(common) < FEWEST_EPOCHS else ""
        unjudged = "saturated" if len(epochs) < len(common) else few
        found.append(_Both(seed, inputs.at(epochs), labels.at(epochs), unjudged))
    return found


def compression_episodes(inputs: Curve, labels: Curve, alpha: float) -> Count:
    """Count the falls of I(X;T) while I(T;Y) stays the same.

    Args:
        inputs: I(X;T), saturated nowhere.
        labels: I(T;Y) at the same epochs.
        alpha: level, for all comparisons together.
    """
    steps = len(inputs.epochs) - 1
    if steps < 1:
        return Count(0, 0)
    level = alpha / steps
    material, tolerance = (max(MATERIAL * float(np.ptp(one.values)), NUMERICAL_ERROR) for one in (inputs, labels))
    falls = _falls(inputs.values)
    falling = {step for first, last in falls for step in range(first, last)}
    spans = np.array([*falls, *((step, step + 1) for step in range(steps) if step not in falling)])
    moved = inputs.values[spans[:, 1]] - inputs.values[spans[:, 0]]
    low, high = _changes(inputs, spans, level)
    label_low, label_high = _changes(labels, spans, level)
    possible = (low < -material) & (label_high > -tolerance)
    tells = ~(labels.saturated | labels.null_like)[spans[:, 1]]
    lasts = np.array([_lasts(inputs, peak, level) for peak in spans[:, 0]])
    certain = possible & (high < -NUMERICAL_ERROR) & (moved <= -material) & (label_low > -tolerance) & tells & lasts
    return Count(int(certain.sum()), int(possible.sum()))


def _lasts(curve: Curve, peak: int, alpha: float) -> bool:
    """Whether both of the next two measured epochs lie below a peak, beyond their errors and the curve's jitter."""
    if len(curve.epochs) < FEWEST_EPOCHS or peak + 2 >= len(curve.epochs):
        return False
    _, high = _changes(curve, np.array([(peak, peak + 1), (peak, peak + 2)]), alpha)
    drop = curve.values[peak] - curve.values[peak + 1 : peak + 3].max()
    return bool((high < -NUMERICAL_ERROR).all() and drop > JITTERS * training_jitter(curve.values, peak))


def training_jitter(values: Floats, peak: int) -> float:
    """Return the spread of independent jitter around a smooth curve, from second differences but that at a peak.

    Their median keeps the other bends of a curve out; where it bends everywhere, the spread comes out too large.

    Args:
        values: `(epochs,)`, at least 4.
        peak: position.

    Source: Gasser, Sroka & Jennen-Steinmetz (1986), Biometrika 73, 625, with a median for the mean square.
    """
    bends = np.abs(np.diff(values, n=2))
    others = np.delete(bends, peak - 1) if 0 < peak < len(values) - 1 else bends
    # 1, -2, 1: six times the variance of one value; 1.4826 medians are the spread of a normal variable
    return 1.4826 * float(np.median(others)) / math.sqrt(6)


def _changes(curve: Curve, spans: NDArray[np.int_], alpha: float) -> tuple[Floats, Floats]:
    """Return the ends of intervals of how much a curve rises over each span, `(spans,)`."""
    first, last = spans.T
    return t_ends(curve.values[last] - curve.values[first], curve.groups[last] - curve.groups[first], alpha)


def _falls(values: Floats) -> list[tuple[int, int]]:
    """Return (first, last) position of every longest stretch of values that fall from each to the next."""
    stretches: list[tuple[int, int]] = []
    for position in np.flatnonzero(np.diff(values) < 0).tolist():
        if stretches and stretches[-1][1] == position:
            stretches[-1] = (stretches[-1][0], position + 1)
        else:
            stretches.append((position, position + 1))
    return stretches


def _counted(like: Statement, found: Sequence[_Both]) -> Statement:
    """Judge one layer of one training: no episode in any seed."""

    def judge(counts: Sequence[Count]) -> Judgement:
        certain = sum(one.certain for one in counts)
        # a curve that cannot be judged may have at least one
        possible = sum(max(one.possible, bool(own.unjudged)) for one, own in zip(counts, found, strict=True))
        verdict = CONTRADICTED if certain else UNDECIDED if possible else SUPPORTED
        return Judgement(verdict, certain, possible, f"{_REASONS[verdict]}; interval: certain to possible episodes")

    return _judged(like, found, judge)


_REASONS = {
    CONTRADICTED: "I(X;T) falls by more than its jitter while I(T;Y) stays the same",
    UNDECIDED: "an episode is possible within errors and jitter, or in curves that cannot be judged",
    SUPPORTED: "no episode is possible within the errors",
}


def _share(like: Statement, found: Sequence[_Both]) -> Statement:
    """Judge all curves together."""

    def judge(counts: Sequence[Count]) -> Judgement:
        both = list(zip(counts, found, strict=True))
        low = sum(one.certain > 0 for one in counts) / len(found)
        high = sum(one.possible > 0 or bool(own.unjudged) for one, own in both) / len(found)
        verdict = CONTRADICTED if low > RARE else SUPPORTED if high <= RARE else UNDECIDED
        words = {CONTRADICTED: "more", SUPPORTED: "no more", UNDECIDED: "possibly more"}[verdict]
        interval = "from the share of curves with certain episodes to that with possible ones or not judged"
        return Judgement(verdict, low, high, f"{words} than {RARE:.0%}; interval: {interval}")

    return _judged(like, found, judge)


def _judged(like: Statement, found: Sequence[_Both], judge_counts: Callable[[Sequence[Count]], Judgement]) -> Statement:
    if not found:
        return like

    def counts(alpha: float) -> list[Count]:
        return [compression_episodes(one.inputs, one.labels, alpha / len(found)) for one in found]

    # a certain episode counts, whether or not the rest of the curve can be judged
    why = Counter(own.unjudged for one, own in zip(counts(LEVEL), found, strict=True) if not one.certain)
    hiding = {reason: number for reason, number in why.items() if reason}
    judged = len(found) - sum(hiding.values())
    others = ", ".join(f"{number} {reason}" for reason, number in hiding.items())
    return replace(
        like,
        judge=lambda alpha: judge_counts(counts(alpha)),
        value=judge_counts(counts(LEVEL)).low if judged else None,
        seeds=len({one.seed for one in found}),
        numbers=(Number("curves", float(len(found))), Number("curves that could be judged", float(judged))),
        scope=f"{judged} of {len(found)} curves could be judged" + (f", the others not: {others}" if others else ""),
    )
