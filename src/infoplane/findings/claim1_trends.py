"""Claim 1: original and adversarial examples give nearly the same curves over epochs.

Three statistics compare the two curves of one training: the correlation of residuals, the root mean square difference
over the range of both, and the correlation of levels. They use the epochs at which no curve is saturated or null-like,
and the seeds whose training went as far as any (the others are named).

Any two rising curves correlate, so a trend must be removed before a correlation means anything. First differences do
not remove it: measured epochs are spaced ever wider, and all curves rise much at first and little later on. A residual
is the distance of a value from the cubic through its two neighbours on either side, over log(1 + epoch). It is nearly 0
on any smooth trend: of curves 1 - exp(-epoch / speed) with independent jitter, residuals correlate by .01 to .1, and
first differences by .5 to .9. So the correlation of residuals asks whether two curves share their ups and downs.

Each statistic is also compared with a baseline: the original curve of one seed with the adversarial curve of another,
both ways round. A pair that is no closer than the baseline shows only that trainings resemble each other. The pairs of
the baseline share curves, which makes the t interval over seeds a little short.

I(T;Y) of attacked examples is that of decoders trained on clean examples. Refitted decoders also read the label that a
white-box attack reveals, most of all in the random network of epoch 0. How much more they read, the label leak, is
shown beside and decides nothing. I(X;T) is compared at relative noise alone, the only noise that is measured at every
epoch and follows the scale of the layer.

A correlation certainly below 0 contradicts the claim, whatever the baseline. Otherwise the claim is undecided if the
curves are no closer than the baseline. It is supported if they are closer and within the borders: a correlation of
residuals above 0.5 and a root mean square difference below 0.15 of the range. The study says "nearly coincide". The
correlation of levels has a border of 0.9 and is no part of the verdict. Errors over examples come from leaving out one
group of examples at a time.

Source of residuals from neighbours: Gasser, Sroka & Jennen-Steinmetz (1986), Biometrika 73, 625, with cubics for lines.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.claim import Claim
from infoplane.findings.curves import PRIMARY, QUANTITIES, Curve, Curves, Finished, Series, reach
from infoplane.findings.evidence import LEVEL, Floats, Interval, Paired, jackknifed, without_each_group
from infoplane.findings.finding import (
    CONTRADICTED,
    NEEDS_SEEDS,
    SUPPORTED,
    UNDECIDED,
    Judge,
    Judgement,
    Number,
    Statement,
    against,
    basis_of,
    needed,
    undecidable,
)
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
from infoplane.findings.noise_range import ONE_NOISE
from infoplane.records.tables import (
    ADVERSARIAL,
    ADVERSARIAL_TRAINING,
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    NORMAL_TRAINING,
    ORIGINAL,
)

FEWEST_EPOCHS = 8  # four residuals: fewer correlate nearly perfectly by chance
# The estimators that decide: on attacked examples not refitted decoders, which read the label from the attack.
DECIDING = {**PRIMARY, LABEL_INFORMATION: DECODED_TRANSFER}

SAME_TRENDS = Claim(
    number="1",
    name="same trends",
    text="Both informations follow the same trend over epochs on original and on adversarial examples.",
    trainings=(NORMAL_TRAINING, ADVERSARIAL_TRAINING),
    statements=lambda at_hand: trend_statements(at_hand.curves, at_hand.adversarial),
)


def correlation(first: Floats, second: Floats) -> Floats:
    """Pearson's correlation along the last axis."""
    first, second = (part - part.mean(axis=-1, keepdims=True) for part in (first, second))
    products = (first * second).sum(axis=-1)
    scale: Floats = np.sqrt((first**2).sum(axis=-1) * (second**2).sum(axis=-1))
    return _ratio(products, scale)


def residuals(values: Floats, epochs: Sequence[int]) -> Floats:
    """Return the distance of each inner value from the cubic through its four neighbours, along the last axis.

    Args:
        values: `(..., epochs)`, at least 5.
        epochs: `(epochs,)`, ascending; the polynomials are over log(1 + epoch).
    """
    place = np.log1p(np.array(epochs, dtype=float))
    weights = np.zeros((len(place) - 4, len(place)))
    for row, weight in enumerate(weights):
        near = [row, row + 1, row + 3, row + 4]
        weight[row + 2] = 1.0
        for one in near:  # Lagrange's form
            others = place[[other for other in near if other != one]]
            weight[one] = -np.prod((place[row + 2] - others) / (place[one] - others))
    found: Floats = values @ weights.T
    return found


def relative_error(first: Floats, second: Floats) -> Floats:
    """Root mean square difference along the last axis, as a share of the range that both cover together."""
    span = np.maximum(first.max(axis=-1), second.max(axis=-1)) - np.minimum(first.min(axis=-1), second.min(axis=-1))
    distance: Floats = np.sqrt(((first - second) ** 2).mean(axis=-1))
    return _ratio(distance, span)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    ratio: Floats = np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator > 0)
    return ratio


class _Statistic(NamedTuple):
    function: Callable[[Floats, Floats], Floats]
    border: float
    closer: int  # 1 where more is closer, -1 where less is
    primary: bool
    of_residuals: bool = False
    range: tuple[float, float] = (-1.0, 1.0)  # of all values, and so of the ends of an interval


_STATISTICS = {
    "correlation of residuals": _Statistic(correlation, 0.5, 1, primary=True, of_residuals=True),
    "range-normalised RMSE": _Statistic(relative_error, 0.15, -1, primary=True, range=(0.0, 1.0)),
    "correlation of levels": _Statistic(correlation, 0.9, 1, primary=False),
}


class _Closeness(NamedTuple):
    """How close the two curves of a training are, and how much closer than those of different seeds."""

    own: Paired
    advantage: Paired | None  # None for want of a second seed


def trend_statements(curves: Curves, adversarial: str = ADVERSARIAL_TRAINING) -> list[Statement]:
    """Compare original and adversarial curves of each training, by every estimator."""
    statements = []
    for training in (NORMAL_TRAINING, adversarial):
        for quantity in QUANTITIES:
            for estimator in dict.fromkeys([DECIDING[quantity], *curves.estimators(quantity)]):
                found = {layer[1]: _matched(curves, training, layer, estimator, quantity) for layer in curves.layers}
                primary = estimator == DECIDING[quantity]
                if primary or any(found.values()):
                    statements += _statements(found, training, estimator, quantity, primary=primary)
        statements += _leak(curves, training)
    return statements


def _matched(curves: Curves, training: str, layer: tuple[int, str], estimator: str, quantity: str) -> Finished | None:
    """Return the curves of originals and of attacked examples, seed by seed."""
    # Decoders trained on clean examples are compared with what they read from clean examples.
    names = {ORIGINAL: DECODED if estimator == DECODED_TRANSFER else estimator, ADVERSARIAL: estimator}
    wanted = [Series(training, examples, layer, name, quantity) for examples, name in names.items()]
    return curves.finished(*wanted)


def _statements(
    found: dict[str, Finished | None], training: str, estimator: str, quantity: str, *, primary: bool
) -> list[Statement]:
    statements = []
    where = f"({training} training{reach(found.values())})"
    for name, statistic in _STATISTICS.items():
        results = {layer: _closeness(matched, statistic) for layer, matched in found.items()}
        like = Statement(
            statement=f"{quantity} follows the same trend on adversarial and on original examples {where}",
            statistic=name,
            estimator=estimator,
            quantity=quantity,
            judge=undecidable(""),
        )

        def judge(one: _Closeness, statistic: _Statistic = statistic) -> Judge:
            return _judge(one, statistic)

        part = f"{name} of {quantity}, {training} training" if primary and statistic.primary else ""
        mean = mean_statement(
            results, like, part=part, mean=_mean, value=lambda one: one.own.evidence().value, judge=judge
        )
        one_noise = ONE_NOISE if part and quantity == INPUT_INFORMATION else ""
        statements.append(replace(mean, scope="; ".join(filter(None, (mean.scope, one_noise)))))
        statements += layer_statements(results, like, judge)
    return statements


def _leak(curves: Curves, training: str) -> list[Statement]:
    """Return how much more refitted decoders read from attacked examples than decoders trained on clean examples.

    At the first and at the last epoch, as a mean over layers.
    """
    wanted = {
        layer[1]: [
            Series(training, ADVERSARIAL, layer, name, LABEL_INFORMATION) for name in (DECODED, DECODED_TRANSFER)
        ]
        for layer in curves.layers
    }
    found = {layer: curves.finished(*series) for layer, series in wanted.items()}
    if not any(found.values()):
        return []
    statements = []
    for position, when in ((0, "first"), (-1, "last")):
        results = {layer: _leak_in_layer(one, position) for layer, one in found.items()}
        like = Statement(
            statement=f"refitted decoders read more of the label from attacked examples than decoders trained on clean "
            f"examples do, at the {when} epoch ({training} training{reach(found.values())})",
            statistic=f"label leak, refitted - trained on clean, {when} epoch",
            estimator=DECODED,
            quantity=LABEL_INFORMATION,
            unit="nats",
            judge=undecidable(""),
        )
        mean = mean_statement(results, like, part="", mean=mean_of_paired, value=_value, judge=_above)
        statements += [mean, *layer_statements(results, like, _above)]
    return statements


def _leak_in_layer(found: Finished | None, position: int) -> InLayer[Paired]:
    if found is None:
        return InLayer(result=None, reason="missing: not decoded in both ways")
    both = [[contrast(curve, {position: 1.0}) for curve in own] for own in found.curves]
    result = paired([difference(refitted, clean) for refitted, clean in zip(*both, strict=True)])
    return InLayer(result=result, seeds=len(found.seeds), value=_value(result))


def _value(one: Paired) -> float:
    return one.evidence().value


def _above(one: Paired) -> Judge:
    return against(one.evidence(), above=True, margin=NUMERICAL_ERROR)


def _mean(parts: Sequence[_Closeness]) -> _Closeness:
    advantages = [part.advantage for part in parts if part.advantage is not None]
    return _Closeness(
        own=mean_of_paired([part.own for part in parts]),
        advantage=mean_of_paired(advantages) if len(advantages) == len(parts) else None,
    )


def _closeness(matched: Finished | None, statistic: _Statistic) -> InLayer[_Closeness]:
    if matched is None:
        return InLayer(result=None, reason="missing: not recorded on both original and adversarial examples")
    seeds = len(matched.seeds)
    both = [curve for own in matched.curves for curve in own]
    held_out = matched.series[-1].estimator == DECODED_TRANSFER  # values near or below 0 are results, not failures
    epochs = [epoch for epoch in both[0].epochs if all(_speaks(curve, epoch, held_out) for curve in both)]
    if len(epochs) < FEWEST_EPOCHS:
        return InLayer(result=None, reason=_why_too_few(both), seeds=seeds)
    original, attacked = ([curve.at(epochs) for curve in own] for own in matched.curves)
    if any(_is_flat(curve) for curve in [*original, *attacked]):
        return InLayer(result=None, reason="a curve changes by less than its error", seeds=seeds)
    compared = _resampled(original, attacked)
    if statistic.of_residuals:
        compared = residuals(compared[0], epochs), residuals(compared[1], epochs)
        if min(float(np.abs(own[:, 0]).max(axis=-1).min()) for own in compared) <= NUMERICAL_ERROR:
            return InLayer(result=None, reason="a curve is smooth to within the numerical error", seeds=seeds)
    own, crossed = own_and_crossed(*compared, statistic.function)
    if not np.isfinite(own).all():
        return InLayer(result=None, reason="a curve does not change", seeds=seeds)
    numbers = [Number("same training", float(own[0].mean())), Number("epochs", len(epochs))]
    advantage = None
    if crossed is not None:
        numbers.append(Number("different seeds", float(crossed[0].mean())))
        closer = statistic.closer * (own - crossed)
        advantage = jackknifed(closer[0], closer[1:])
    result = _Closeness(jackknifed(own[0], own[1:]), advantage)
    return InLayer(result=result, seeds=seeds, value=float(own[0].mean()), numbers=tuple(numbers))


def _speaks(curve: Curve, epoch: int, held_out: bool) -> bool:
    position = curve.epochs.index(epoch)
    return not (curve.saturated[position] or (curve.null_like[position] and not held_out))


def _why_too_few(curves: list[Curve]) -> str:
    if len(curves[0].epochs) < FEWEST_EPOCHS:
        return f"missing: measured at fewer than {FEWEST_EPOCHS} epochs"
    return "saturated" if any(curve.saturated.any() for curve in curves) else "null-like"


def _is_flat(curve: Curve) -> bool:
    """Whether even its lowest and its highest point cannot be told apart, for all pairs that could be those."""
    lowest, highest = int(curve.values.argmin()), int(curve.values.argmax())
    if lowest == highest:
        return True
    pairs = len(curve.epochs) * (len(curve.epochs) - 1) / 2
    return change(curve, lowest, highest).interval(LEVEL / pairs).low <= NUMERICAL_ERROR


def own_and_crossed(
    original: Floats, attacked: Floats, function: Callable[[Floats, Floats], Floats]
) -> tuple[Floats, Floats | None]:
    """Compare the two curves of each seed with each other, and with those of every other seed, both ways round.

    Args:
        original: `(seeds, resamples, epochs)`.
        attacked: likewise.
        function: from two such curves, along the last axis, to a statistic.

    Returns:
        The statistic of each seed, `(resamples, seeds)`, and the mean over the pairs of different seeds that the seed
        is in; None of a single seed.
    """
    seeds = len(original)
    table = np.stack(
        [np.stack([function(original[a], attacked[b]) for b in range(seeds)], axis=-1) for a in range(seeds)], axis=-2
    )  # (resamples, seed of originals, seed of attacked)
    own: Floats = np.diagonal(table, axis1=1, axis2=2)
    if seeds == 1:
        return own, None
    crossed = (table.sum(axis=1) + table.sum(axis=2) - 2 * own) / (2 * (seeds - 1))
    return own, crossed


def _resampled(original: list[Curve], attacked: list[Curve]) -> tuple[Floats, Floats]:
    """Return both kinds of curves with all groups of examples, then without each, `(seeds, 1 + groups, epochs)`."""
    both = [*original, *attacked]
    sizes = {curve.groups.shape[1] for curve in both}
    kept = np.zeros(0, dtype=int)
    if len(sizes) == 1:
        kept = np.flatnonzero(np.all([np.isfinite(curve.groups).all(axis=0) for curve in both], axis=0))
    rows = [without_each_group(curve.values, curve.groups[:, kept]) for curve in both]
    seeds = len(original)
    return np.stack(rows[:seeds]), np.stack(rows[seeds:])


def _judge(closeness: _Closeness, statistic: _Statistic) -> Judge:
    own = closeness.own.evidence()

    def judge(alpha: float) -> Judgement:
        interval = own.interval(alpha)
        if closeness.advantage is None:
            return Judgement(UNDECIDED, *_within(interval, statistic), NEEDS_SEEDS)
        gained = closeness.advantage.evidence().interval(alpha)
        if statistic.closer > 0 and interval.high < 0:  # curves of different seeds then do so too
            verdict, reason = CONTRADICTED, "the two curves move in opposite directions"
        elif gained.high < 0:
            verdict, reason = UNDECIDED, "farther apart than curves of different seeds"
        elif gained.low <= 0:
            more = needed(closeness.advantage.evidence())
            verdict, reason = UNDECIDED, f"no closer than curves of different seeds{more}"
        else:
            near = (
                statistic.closer * (interval.low - statistic.border),
                statistic.closer * (interval.high - statistic.border),
            )
            verdict = SUPPORTED if min(near) > 0 else CONTRADICTED if max(near) < 0 else UNDECIDED
            words = {SUPPORTED: "and within", CONTRADICTED: "but not within", UNDECIDED: "but not certainly within"}
            reason = f"closer than curves of different seeds, {words[verdict]} the border {statistic.border:g}"
        return Judgement(verdict, *_within(interval, statistic), f"{reason}; {basis_of(own, interval)}")

    return judge


def _within(interval: Interval, statistic: _Statistic) -> tuple[float, float]:
    """Return the ends of an interval, no farther than any value can be."""
    least, most = statistic.range
    return max(interval.low, least), min(interval.high, most)
