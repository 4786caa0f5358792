"""Claim 3, first half: compression is almost never seen. Counts, never violations.

A compression episode is an unbroken fall of I(X;T) over measured epochs, of at least 5 % of the range of its curve
and by more than its paired error, during which I(T;Y) does not fall by more than its own. Smaller falls are the jitter
of gradient descent. Where errors leave open whether a fall of that size happened, an episode is possible: a curve has
certain and possible episodes. The claim is about curves, one for each seed, training and layer: "almost never" means
at most one in ten, a border of ours. I(X;T) at relative noise is read with decoded I(T;Y), at the epochs that have
both and where the former is not saturated.

Errors are those of the choice of examples, at the level divided by the number of comparisons. All seeds are counted
together.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
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
from infoplane.records import BINNING, DECODED, INPUT_INFORMATION, KDE_BD, KDE_KL, LABEL_INFORMATION, NOISY

CLAIM = 3
MATERIAL = 0.05  # of the range of a curve
RARE = 0.1  # of all curves
# The study reads both informations from the same estimator; the first pair is what the verdict rests on.
PAIRS = (
    (PRIMARY[INPUT_INFORMATION], DECODED),
    (NOISY, DECODED),
    (KDE_KL, KDE_KL),
    (KDE_BD, KDE_BD),
    (BINNING, BINNING),
)


class Count(NamedTuple):
    """How often something happened: surely, and at most."""

    certain: int
    possible: int


class _Both(NamedTuple):
    """I(X;T) and I(T;Y) of one layer of one network, at the epochs where the former can speak."""

    seed: int
    inputs: Curve
    labels: Curve


def compression_statements(curves: Curves) -> list[Statement]:
    """Count compression episodes by every pair of estimators, in every layer of every training."""
    statements = []
    for estimators in PAIRS:
        for examples in (ORIGINAL, ATTACKED):
            primary = estimators == PAIRS[0] and examples == ORIGINAL
            found = {
                (training, layer): _both(curves, training, examples, layer, estimators)
                for training in (NORMAL, ADVERSARIAL)
                for layer in curves.layers
            }
            like = Statement(
                claim=CLAIM,
                statement=f"at most {RARE:.0%} of all curves show compression ({examples} examples)",
                statistic="share of curves with a compression episode",
                layer=ALL_CURVES,
                estimator=" with ".join(dict.fromkeys(estimators)),
                quantity=f"{INPUT_INFORMATION}, {LABEL_INFORMATION}",
                judge=undecidable("missing: not recorded"),
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
        inputs = inputs.at([epoch for epoch, full in zip(inputs.epochs, inputs.saturated, strict=True) if not full])
        epochs = common_epochs([inputs, labels])
        found.append(_Both(seed, inputs.at(epochs), labels.at(epochs)))
    return found


def compression_episodes(inputs: Curve, labels: Curve, alpha: float) -> Count:
    """Count the falls of I(X;T) while I(T;Y) holds.

    Args:
        inputs: I(X;T), saturated nowhere.
        labels: I(T;Y) at the same epochs.
        alpha: level, for all comparisons together.
    """
    steps = len(inputs.epochs) - 1
    level = alpha / max(1, steps)
    material = MATERIAL * float(np.ptp(inputs.values))
    falls = _falls(inputs.values)
    falling = {step for first, last in falls for step in range(first, last)}
    spans = np.array([*falls, *((step, step + 1) for step in range(steps) if step not in falling)])
    if steps < 1:
        return Count(0, 0)
    moved = inputs.values[spans[:, 1]] - inputs.values[spans[:, 0]]
    low, high = _changes(inputs, spans, level)
    holds = _changes(labels, spans, level)[1] >= 0
    possible = (low < -material) & holds
    tells = ~(labels.saturated | labels.null_like)[spans[:, 1]]
    certain = possible & (high < 0) & (moved <= -material) & tells
    return Count(int(certain.sum()), int(possible.sum()))


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
        certain, possible = sum(one.certain for one in counts), sum(one.possible for one in counts)
        verdict = CONTRADICTED if certain else UNDECIDED if possible else SUPPORTED
        return Judgement(verdict, certain, possible, f"{_REASONS[verdict]}; interval: certain to possible episodes")

    return _judged(like, found, judge)


_REASONS = {
    CONTRADICTED: "I(X;T) falls by more than its error while I(T;Y) holds",
    UNDECIDED: "errors leave room for an episode",
    SUPPORTED: "errors leave no room for an episode",
}


def _share(like: Statement, found: Sequence[_Both]) -> Statement:
    """Judge all curves together."""

    def judge(counts: Sequence[Count]) -> Judgement:
        low, high = (sum(one[kind] > 0 for one in counts) / len(counts) for kind in (0, 1))
        verdict = CONTRADICTED if low > RARE else SUPPORTED if high <= RARE else UNDECIDED
        words = {CONTRADICTED: "more", SUPPORTED: "no more", UNDECIDED: "perhaps more"}[verdict]
        reason = f"{words} than {RARE:.0%}; interval: share of curves with certain to that with possible episodes"
        return Judgement(verdict, low, high, reason)

    return _judged(like, found, judge)


def _judged(like: Statement, found: Sequence[_Both], judge_counts: Callable[[Sequence[Count]], Judgement]) -> Statement:
    speaking = [one for one in found if len(one.inputs.epochs) > 1]
    if not speaking:
        return replace(like, judge=undecidable("saturated, or measured at one epoch")) if found else like

    def judge(alpha: float) -> Judgement:
        return judge_counts([compression_episodes(one.inputs, one.labels, alpha / len(speaking)) for one in speaking])

    return replace(
        like,
        judge=judge,
        value=judge(LEVEL).low,
        seeds=len({one.seed for one in speaking}),
        numbers=(
            Number("curves", float(len(speaking))),
            Number("saturated curves left out", float(len(found) - len(speaking))),
        ),
    )
