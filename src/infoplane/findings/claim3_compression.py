"""Claim 3a: a compression phase is almost never seen.

A compression phase is a fall of I(X;T) over epochs during which I(T;Y) does not fall. The largest fall of a single
noisy curve says little: the highest of many values is too high and the lowest too low, so that every curve falls. So
each curve is smoothed by the mean of three neighbouring measured epochs, and the two epochs of a fall are chosen on the
other seeds. They are the epochs between which the mean curve of the other seeds falls most, and the fall between them
is measured on the seed that was left out. If nothing falls, its mean is 0 or less.

The fall counts as 0 if I(T;Y) falls too between these epochs, in the other seeds, by more than 5 % of its highest
value. (Of its range would not do: where I(T;Y) is constant, that is noise alone.) Two statistics decide.

- The mean fall: the falls of all layers of both trainings, as a share of the ranges of their curves, one number per
  seed. Its interval is over seeds and over examples. Compression means a fall of 5 %. Smoothing, and epochs that are
  not the best ones, make a fall of 5 % look like one of 2.5 to 4.5 %. So the claim is supported below 2.5 %, where a
  fall of 5 % is missed in at most 6 % of simulated runs, and contradicted above 5 %.
- The share of curves, one for each training and layer, whose fall is above 5 % of the range. It must be at most one in
  ten, a border of ours. A curve certainly falls if its interval lies above 5 %, at the level divided by the number of
  curves. It certainly does not if its interval lies below 2.5 %, at the level divided by one more than the number of
  curves that may fall: a fall of 5 % is then overlooked in too many curves in at most a level of all runs, by Markov's
  inequality. All other curves may fall, also those that are saturated, null-like, or measured at fewer than four
  epochs, which cannot be judged. So the share lies between that of certain and that of possible falls.

I(X;T) at relative noise is paired with decoded I(T;Y), at the epochs that have both. On attacked examples I(T;Y) is
that of decoders trained on clean examples: refitted ones read the label that the attack reveals, most of all in the
random network of epoch 0, so that their I(T;Y) falls where nothing is forgotten. A fall and recovery between two
measured epochs is not seen. A fall from the random network of epoch 0 counts. Both statistics are also taken without
that epoch, which decides nothing: this was added after a run had shown that its whole fall lies there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.claim import Claim
from infoplane.findings.curves import PRIMARY, QUANTITIES, Curve, Curves, Finished, Series, reach
from infoplane.findings.evidence import LEVEL, Evidence, Floats, Paired
from infoplane.findings.finding import (
    ALL_CURVES,
    CONTRADICTED,
    NEEDS_SEEDS,
    SUPPORTED,
    UNDECIDED,
    Judge,
    Judgement,
    Number,
    Statement,
    basis_of,
    needed,
    undecidable,
)
from infoplane.findings.layers import contrast, paired
from infoplane.findings.noise_range import ONE_NOISE
from infoplane.records.tables import (
    ADVERSARIAL,
    ADVERSARIAL_TRAINING,
    BINNING,
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    NOISY,
    NORMAL_TRAINING,
    ORIGINAL,
)

MATERIAL = 0.05  # of the range of a curve
SMALL = 0.025  # likewise: a measured fall below it is not a true one of `MATERIAL`
RARE = 0.1  # of all curves
FEWEST_EPOCHS = 4
# The study reads both informations from the same estimator; the first pair is what the verdict rests on.
PAIRS = (
    (PRIMARY[INPUT_INFORMATION], DECODED),
    (NOISY, DECODED),
    (KDE_KL, KDE_KL),
    (KDE_BD, KDE_BD),
    (BINNING, BINNING),
)

HARDLY_COMPRESSION = Claim(
    number="3a",
    name="no compression",
    text="A compression phase is almost never seen.",
    trainings=(NORMAL_TRAINING, ADVERSARIAL_TRAINING),
    needs_several_seeds=True,
    statements=lambda at_hand: compression_statements(at_hand.curves, at_hand.adversarial),
)


class Fall(NamedTuple):
    """The fall of I(X;T) in one layer of one training, in nats, and the range of its curve, for each seed."""

    falls: Paired
    ranges: Floats  # (seeds,) of the mean curve of the other seeds


class _Layer(NamedTuple):
    name: str
    fall: Fall | None
    unjudged: str  # why the curves cannot be judged, if they cannot


def compression_statements(curves: Curves, adversarial: str = ADVERSARIAL_TRAINING) -> list[Statement]:
    """Measure the fall by every pair of estimators: the mean, the share of curves, then each layer of each training."""
    statements = []
    for estimators in PAIRS:
        for examples in (ORIGINAL, ADVERSARIAL):
            primary = estimators == PAIRS[0] and examples == ORIGINAL
            pair = on_attacked(estimators) if examples == ADVERSARIAL else estimators
            found = {
                (training, layer): _finished(curves, training, examples, layer, pair)
                for training in (NORMAL_TRAINING, adversarial)
                for layer in curves.layers
            }
            known = {key: one for key, one in found.items() if one is not None}
            until = f"up to epoch {max(one.epoch for one in known.values())}" if known else ""
            like = Statement(
                statement=f"at most {RARE:.0%} of all curves show compression ({examples} examples)",
                statistic="",
                layer=ALL_CURVES,
                estimator=" with ".join(dict.fromkeys(pair)),
                quantity=f"{INPUT_INFORMATION}, {LABEL_INFORMATION}",
                judge=undecidable("missing: not recorded by these estimators"),
                scope="; ".join(filter(None, (until, ONE_NOISE))) if primary else "",
            )
            where = f"{examples} examples{reach(known.values())}"
            layers = _layers(known)
            if known:
                absent = (key for key, one in found.items() if one is None)
                layers += [_Layer(f"{layer[1]}, {training}", None, "not recorded") for training, layer in absent]
            if known or primary:
                statements += [
                    _mean(replace(like, part="mean fall" if primary else ""), layers, where),
                    _share(replace(like, part="share of curves" if primary else ""), layers, where),
                ]
            if trained := {key: rest for key, one in known.items() if (rest := without_random(one)) is not None}:
                since, own_layers = f"{where}, without the random network of epoch 0", _layers(trained)
                statements += [_mean(like, own_layers, since), _share(like, own_layers, since)]
            for (training, layer), own in zip(known, layers, strict=False):  # those that were recorded come first
                text = f"no compression ({training} training, {where})"
                statements.append(_single(replace(like, statement=text, layer=layer[1], scope=""), own))
    return statements


def on_attacked(estimators: tuple[str, str]) -> tuple[str, str]:
    """Return the pair for attacked examples: decoders trained on clean examples in place of refitted ones."""
    of_input, of_label = estimators
    return of_input, DECODED_TRANSFER if of_label == DECODED else of_label


def without_random(found: Finished) -> Finished | None:
    """Return the curves without epoch 0, at which the network is random; None if they do not have it, or nothing else.

    Training takes much from what a random network encodes. That is a fall, but no phase of the training.
    """
    epochs = found.curves[0][0].epochs
    if epochs[0] != 0 or len(epochs) < 2:
        return None
    return found._replace(curves=[[one.at(epochs[1:]) for one in own] for own in found.curves])


def _layers(known: Mapping[tuple[str, tuple[int, str]], Finished]) -> list[_Layer]:
    """Return the fall in each layer; curves whose seeds ended at another epoch cannot be pooled with the others."""
    layers = [_layer(f"{layer[1]}, {training}", one) for (training, layer), one in known.items()]
    most = max((one.fall.falls.values.size for one in layers if one.fall), default=0)
    return [
        one if one.fall is None or one.fall.falls.values.size == most else one._replace(fall=None, unjudged=_FEWER)
        for one in layers
    ]


_FEWER = "of fewer seeds"


def _finished(
    curves: Curves, training: str, examples: str, layer: tuple[int, str], estimators: tuple[str, str]
) -> Finished | None:
    pairs = zip(estimators, QUANTITIES, strict=True)
    return curves.finished(*(Series(training, examples, layer, estimator, quantity) for estimator, quantity in pairs))


def _layer(name: str, found: Finished) -> _Layer:
    inputs, labels = found.curves
    if len(found.seeds) < 2:
        return _Layer(name, None, "of one seed")
    if len(inputs[0].epochs) < FEWEST_EPOCHS:
        return _Layer(name, None, f"with fewer than {FEWEST_EPOCHS} epochs")
    if any(curve.saturated.any() for curve in inputs) or any(curve.saturated[-1] for curve in labels):
        return _Layer(name, None, "saturated")
    if any(curve.null_like[-1] for curve in labels):
        return _Layer(name, None, "null-like")
    return _Layer(name, crossed_fall(inputs, labels), "")


def crossed_fall(inputs: Sequence[Curve], labels: Sequence[Curve]) -> Fall:
    """Measure on each seed the fall whose epochs are chosen on the others.

    Args:
        inputs: I(X;T) of at least two seeds, at the same epochs.
        labels: I(T;Y) likewise.
    """
    inputs, labels = ([smoothed(curve) for curve in own] for own in (inputs, labels))
    falls, ranges = [], []
    for seed, curve in enumerate(inputs):
        others, known = (_mean_of_others(own, seed) for own in (inputs, labels))
        known = np.maximum(known, 0.0)  # decoders that are misled read nothing
        first, last = largest_fall(others)
        gives_way = known[first] - known[last] > max(MATERIAL * float(known.max()), NUMERICAL_ERROR)
        # a fall of 0 if nothing falls, or if I(T;Y) falls too
        weights = {} if first == last or gives_way else {first: 1.0, last: -1.0}
        falls.append(contrast(curve, weights))
        ranges.append(float(np.ptp(others)))
    return Fall(paired(falls), np.array(ranges))


def smoothed(curve: Curve) -> Curve:
    """Replace each value by the mean of it and its neighbours; of two values at the ends."""
    number = len(curve.epochs)
    near = np.abs(np.subtract.outer(np.arange(number), np.arange(number))) <= 1
    weights = near / near.sum(axis=1, keepdims=True)
    return replace(curve, values=weights @ curve.values, groups=weights @ curve.groups)


def _mean_of_others(curves: Sequence[Curve], seed: int) -> Floats:
    mean: Floats = np.mean([curve.values for number, curve in enumerate(curves) if number != seed], axis=0)
    return mean


def largest_fall(values: Floats) -> tuple[int, int]:
    """Return the positions between which a curve falls most, the first before the last; equal if it never falls."""
    peaks = np.maximum.accumulate(values)
    last = int(np.argmax(peaks - values))
    return int(np.argmax(values[: last + 1])), last


def pooled(falls: Sequence[Fall]) -> Evidence:
    """Return the falls of several curves as a share of their ranges together, for each seed."""
    ranges = np.maximum(np.sum([one.ranges for one in falls], axis=0), NUMERICAL_ERROR)
    values = np.sum([one.falls.values for one in falls], axis=0) / ranges
    sizes = {one.falls.groups.shape[1] for one in falls}
    groups = np.sum([one.falls.groups for one in falls], axis=0) if len(sizes) == 1 else np.empty((len(values), 0))
    return Paired(values=values, groups=groups / ranges[:, None]).evidence()


def hardly_falls(evidence: Evidence) -> Judge:
    """Support a fall that is certainly below `SMALL`, and contradict one that is certainly above `MATERIAL`."""
    open_border = SMALL if evidence.value < SMALL else MATERIAL
    between = SMALL <= evidence.value <= MATERIAL

    def judge(alpha: float) -> Judgement:
        interval = evidence.interval(alpha)
        how_many = "" if between else needed(evidence.less(open_border))
        if interval.high < SMALL:
            verdict, place = SUPPORTED, f"the fall is below {SMALL:.1%} of the range"
        elif interval.low > MATERIAL:
            verdict, place = CONTRADICTED, f"the fall is above {MATERIAL:.0%} of the range"
        else:
            verdict = UNDECIDED
            place = f"the fall is neither certainly below {SMALL:.1%} of the range nor above {MATERIAL:.0%}{how_many}"
        return Judgement(verdict, interval.low, interval.high, f"{place}; {basis_of(evidence, interval)}")

    return judge


def _mean(like: Statement, layers: Sequence[_Layer], where: str) -> Statement:
    like = replace(
        like,
        statement=f"I(X;T) does not fall while I(T;Y) stays ({where})",
        statistic="mean fall, as a share of the range of the curves",
    )
    falls = {one.name: one.fall for one in layers if one.fall is not None}
    if not falls:
        return _unjudged(like, layers)
    evidence = pooled(list(falls.values()))
    return replace(
        like,
        value=evidence.value,
        seeds=len(evidence.values),
        numbers=tuple(Number(name, pooled([one]).value) for name, one in falls.items()),
        judge=hardly_falls(evidence),
        scope="; ".join(filter(None, (_judged(layers), like.scope))),
    )


def _share(like: Statement, layers: Sequence[_Layer], where: str) -> Statement:
    like = replace(
        like,
        statement=f"at most {RARE:.0%} of all curves show compression ({where})",
        statistic="share of curves that certainly fall",
    )
    falls = [one.fall for one in layers if one.fall is not None]
    if not falls:
        return _unjudged(like, layers)

    measured = [pooled([one]) for one in falls]

    def judge(alpha: float) -> Judgement:
        allowed = int(RARE * len(layers))
        certain = sum(one.interval(alpha / len(falls)).low > MATERIAL for one in measured)
        none = sum(one.interval(alpha / (allowed + 1)).high < SMALL for one in measured)
        low, high = certain / len(layers), 1 - none / len(layers)
        verdict = CONTRADICTED if low > RARE else SUPPORTED if high <= RARE else UNDECIDED
        words = {CONTRADICTED: "more", SUPPORTED: "no more", UNDECIDED: "possibly more"}[verdict]
        interval = "from the share of curves that certainly fall to that of all that may fall"
        return Judgement(verdict, low, high, f"{words} than {RARE:.0%}; interval: {interval}")

    return replace(
        like,
        judge=judge,
        value=judge(LEVEL).low,
        seeds=falls[0].falls.values.size,
        numbers=(Number("curves", float(len(layers))), Number("curves that could be judged", float(len(falls)))),
        scope="; ".join(filter(None, (_judged(layers), like.scope))),
    )


def _single(like: Statement, one: _Layer) -> Statement:
    like = replace(like, statistic="fall, as a share of the range of the curve")
    if one.fall is None:
        return _unjudged(like, [one])
    evidence = pooled([one.fall])
    return replace(like, value=evidence.value, seeds=len(evidence.values), judge=hardly_falls(evidence))


def _unjudged(like: Statement, layers: Sequence[_Layer]) -> Statement:
    """Say why no curve can be judged."""
    reasons = list(dict.fromkeys(one.unjudged for one in layers))
    if not reasons:
        return like
    if reasons == ["of one seed"]:
        return replace(like, judge=undecidable(NEEDS_SEEDS), seeds=1)
    return replace(like, judge=undecidable(f"no curve could be judged: {', '.join(reasons)}"))


def _judged(layers: Sequence[_Layer]) -> str:
    why = Counter(one.unjudged for one in layers if one.unjudged)
    others = ", ".join(f"{number} {reason}" for reason, number in why.items())
    judged = len(layers) - sum(why.values())
    return f"{judged} of {len(layers)} curves could be judged" + (f", the others not: {others}" if others else "")
