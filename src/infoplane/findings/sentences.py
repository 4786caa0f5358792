"""What the records of a run say, in a few plain sentences for its report.

A sentence stands only where the records support it: the 95 % interval of what it says excludes 0, the numbers exceed
their null, and the network is not at chance. Otherwise there is no sentence.
"""

import math
from typing import NamedTuple

import polars as pl

from infoplane.findings.accuracies import accuracy_ends, accuracy_of
from infoplane.findings.attacks import chosen_attack
from infoplane.findings.evidence import Evidence
from infoplane.findings.label_loss import label_loss, nothing_below_0
from infoplane.findings.label_profiles import LabelProfiles, Point, difference
from infoplane.records.tables import (
    ADVERSARIAL_TRAINING,
    MISTAKEN_INFORMATION,
    NORMAL_TRAINING,
    ORIGINAL,
    RANDOM,
    TRUE_INFORMATION,
    trainings_at_chance,
)
from infoplane.text import percent, with_field_help

MOST = 5  # sentences
ACCURACY, LABEL, MISTAKEN = "accuracy", "label", "mistakes"  # sections of the report with the numbers
_BITS = 1 / math.log(2)


@with_field_help
class Sentence(NamedTuple):
    """One sentence with the number that it rests on.

    Attributes:
        text: plain text; names are as the user wrote them.
        anchor: section of the report that has the numbers.
        value: the number whose interval decides that the sentence stands.
        low: of the 95 % interval.
        high: likewise.
        unit: "nats" or "share".
    """

    text: str
    anchor: str
    value: float
    low: float
    high: float
    unit: str


def sentences(measurements: pl.DataFrame, performance: pl.DataFrame) -> list[Sentence]:
    """Return at most `MOST` sentences, the most important first.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
    """
    profiles = LabelProfiles(measurements, performance)
    names = Names(measurements, performance)
    said = accuracy_sentences(performance, names)
    said += [one for training in names.shown(profiles) for one in _under_attack(profiles, training, names)]
    said += [one for training in names.shown(profiles) for one in [_mistaken(profiles, training, names)] if one]
    said += [one for training in names.shown(profiles)[:1] for one in [_raised(profiles, training, names)] if one]
    return said[:MOST]


class Names:
    """How sentences call networks and examples.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
    """

    def __init__(self, measurements: pl.DataFrame, performance: pl.DataFrame) -> None:
        pairs = {pair for table in (measurements, performance) for pair in table.select("seed", "training").iter_rows()}
        self._trainings = {training for _, training in pairs}
        self._several_seeds = len({seed for seed, _ in pairs}) > 1
        attacks = chosen_attack(measurements, performance)
        self.attack, self._several_attacks = attacks.judged, bool(attacks.left_out)

    def network(self, training: str) -> str:
        """Return e.g. "the normally trained network"."""
        noun = "networks" if self._several_seeds else "network"
        if len(self._trainings) < 2:
            return f"the {noun}"
        kind = {NORMAL_TRAINING: "normally", ADVERSARIAL_TRAINING: "adversarially"}.get(training)
        return f"the {kind} trained {noun}" if kind else f"the {noun} of {training} training"

    def is_or_are(self, one: str, several: str) -> str:
        """Return the form of a verb whose subject is `network`."""
        return several if self._several_seeds else one

    def under(self, attack: str) -> str:
        """Return e.g. "under attack", with the name of its examples if there are several attacks."""
        return f"on {attack} examples" if self._several_attacks else "under attack"

    def shown(self, profiles: LabelProfiles) -> list[str]:
        """Return the trainings that sentences are about: normal training, and the one that keeps most under attack."""
        known = profiles.trainings
        others = [training for training in known if training != NORMAL_TRAINING]
        if NORMAL_TRAINING not in known or len(others) < 2:
            return known[:2]
        ends = {training: profiles.points(training, self.attack)[-1:] for training in others}
        return [
            NORMAL_TRAINING,
            max(others, key=lambda name: max((one.value for one in ends[name]), default=-math.inf)),
        ]


def accuracy_sentences(performance: pl.DataFrame, names: Names) -> list[Sentence]:
    """Return a sentence on accuracy with and without attack: of two trainings, otherwise of the best and the worst."""
    rows = performance.filter(pl.col("distortion").is_null(), pl.col("split") == "test")
    for seed, training in trainings_at_chance(performance):
        rows = rows.filter((pl.col("seed") != seed) | (pl.col("training") != training))
    last = rows.filter(pl.col("epoch") == pl.col("epoch").max().over("seed", "training"))
    plain, attacked = _accuracies(last, ORIGINAL), _accuracies(last, names.attack)
    trainings = sorted(plain, key=lambda training: (training != NORMAL_TRAINING, training))
    if not trainings:
        return []
    if len(trainings) > 2 and len(set(trainings) & set(attacked)) > 2:
        return _best_and_worst(attacked, names)
    clauses: list[str] = []
    for training in trainings[:2]:
        first = not clauses  # the clause of the second training needs no verb
        clause = f"after {training} training " if len(trainings) > 1 else ""
        clause += _share(plain[training]) + (" of the test images are classified correctly" if first else "")
        if training in attacked:
            clause += f" and {_share(attacked[training])}" + (f" {names.under(names.attack)}" if first else "")
        clauses.append(clause)
    text = "; ".join(clauses)
    if last["epoch"].max() == 0:
        text = f"before any training, {text}"
    evidence = attacked.get(trainings[0], plain[trainings[0]])
    return [_sentence(f"{_capital(text)}.", ACCURACY, evidence, "share")]


def _accuracies(rows: pl.DataFrame, examples: str) -> dict[str, Evidence]:
    """Return the accuracy of each training, as a mean over seeds."""
    own = rows.filter(pl.col("examples") == examples).partition_by("training", as_dict=True)
    return {str(training): accuracy_of(part) for (training,), part in own.items()}


def _best_and_worst(attacked: dict[str, Evidence], names: Names) -> list[Sentence]:
    """Name the training that is more accurate under attack than all others, and the one that is less."""
    ordered = sorted(attacked, key=lambda training: attacked[training].value)
    worst, best = attacked[ordered[0]], attacked[ordered[-1]]
    lowest = worst.interval().high < min(attacked[name].interval().low for name in ordered[1:])
    highest = best.interval().low > max(attacked[name].interval().high for name in ordered[:-1])
    told = [f"{ordered[-1]} is the most accurate {names.under(names.attack)}, {_share(best)}"] if highest else []
    if lowest:
        told.append(
            f"{ordered[0]} is the least accurate{'' if told else ' ' + names.under(names.attack)}, {_share(worst)}"
        )
    if not told:
        return []
    text = f"Of {len(ordered)} trainings, {', and '.join(told)}."
    return [_sentence(text, ACCURACY, best if highest else worst, "share")]


def _under_attack(profiles: LabelProfiles, training: str, names: Names) -> list[Sentence]:
    """Say where a training's networks lose the label under the judged attack, or how much of it they keep."""
    attack = names.attack
    originals, attacked = profiles.points(training, ORIGINAL), profiles.points(training, attack)
    if not attacked or [one.layer for one in originals] != [one.layer for one in attacked] or not originals[-1].found:
        return []
    said = _lost(profiles, training, names, originals, attacked) or _kept(
        profiles, training, names, originals, attacked
    )
    return [said] if said else []


def _lost(
    profiles: LabelProfiles, training: str, names: Names, originals: list[Point], attacked: list[Point]
) -> Sentence | None:
    """Say between which layers the label is lost."""
    loss = label_loss(profiles, training, names.attack)
    if loss is None:
        return None
    lost = names.is_or_are("loses", "lose") + (" the label" if loss.whole else " more than half of the label")
    start = f"{_capital(names.under(names.attack))}, {names.network(training)} {lost}"
    points = {one.layer: one for one in attacked}
    after = points[loss.after]
    if loss.before is None:
        original = next(one for one in originals if one.layer == loss.after)
        where = f"at {after.layer[1]} or before" if loss.at_latest else f"before {after.layer[1]}, the first layer"
        text = (
            f"{start} {where}: decoders of originals read {_bits(original)} from "
            f"originals there, and {_bits(after, bare=True)} from the attacked examples{_misled(after)}."
        )
        return _sentence(text, LABEL, loss.fall, "nats")
    before = points[loss.before]
    where = "gradually" if loss.gradual else f"between {before.layer[1]} and {after.layer[1]}"
    return _sentence(f"{start} {where}: {_read(before)}, and {_amount(after)}.", LABEL, loss.fall, "nats")


def _kept(
    profiles: LabelProfiles, training: str, names: Names, originals: list[Point], attacked: list[Point]
) -> Sentence | None:
    """Say how much is left at the last layer under attack, and how much more that is than after normal training."""
    last, attack = attacked[-1], names.attack
    if not last.found or last.low is None or last.high is None or last.low <= 0:
        return None
    own = profiles.paired(training, attack, last.layer)
    if own is None:
        return None
    text = (
        f"{_capital(names.under(attack))}, {names.network(training)} {names.is_or_are('keeps', 'keep')} {_bits(last)} "
        f"of the {_bits(originals[-1])} that decoders read from originals at {last.layer[1]}"
    )
    normal = profiles.points(NORMAL_TRAINING, attack)[-1:]
    if training != NORMAL_TRAINING and normal and normal[0].layer == last.layer and not normal[0].undersampled:
        more = difference(nothing_below_0(own), nothing_below_0(profiles.paired(NORMAL_TRAINING, attack, last.layer)))
        if more is not None and more.interval().low > 0:
            value = _range(more.value, *more.interval()[:2], unit=" bits more")
            text += f", {value} than {names.network(NORMAL_TRAINING)}"
    return _sentence(f"{text}.", LABEL, own.evidence(), "nats")


def _mistaken(profiles: LabelProfiles, training: str, names: Names) -> Sentence | None:
    """Say from which layer on misclassified examples encode the wrong class rather than the true one.

    Whatever is misclassified looks like the wrong class. So attacked examples must do so more than those that are
    misclassified after random changes of the same size. The last layer is left out: the wrong class is its own choice.
    """
    wrong = profiles.points(training, names.attack, MISTAKEN_INFORMATION)
    true = profiles.points(training, names.attack, TRUE_INFORMATION)
    if [one.layer for one in wrong] != [one.layer for one in true]:
        return None
    points_of_control = {one.layer: one for one in profiles.points(training, RANDOM, MISTAKEN_INFORMATION)}
    found: tuple[Point, Point, Evidence] | None = None
    for of_wrong, of_true in reversed(list(zip(wrong[:-1], true[:-1], strict=True))):
        of_both = [profiles.paired(training, names.attack, of_wrong.layer, quantity) for quantity in _OF_MISTAKES]
        control = profiles.paired(training, RANDOM, of_wrong.layer, MISTAKEN_INFORMATION)
        of_control = points_of_control.get(of_wrong.layer)
        than_true, than_control = difference(*of_both), difference(of_both[0], control)
        above = of_wrong.low is not None and of_wrong.low > 0
        if not (above and _above_0(than_true) and _above_0(than_control)) or of_true.undersampled:
            break
        if of_control is None or of_control.undersampled:  # with more examples it may be as high
            break
        assert than_control is not None, "it is above 0"
        found = (of_wrong, of_true, than_control)
    if found is None:
        return None
    of_wrong, of_true, more = found
    where = f"from {of_wrong.layer[1]} on" if of_wrong.layer != wrong[-2].layer else f"at {of_wrong.layer[1]}"
    text = (
        f"Attacked examples that {names.network(training)} {names.is_or_are('misclassifies', 'misclassify')} look like "
        f"the wrong class {where}: decoders of originals read {_bits(of_wrong)} about the wrong class there, and "
        f"{_bits(of_true, bare=True)} about the true one. Of examples that are misclassified after random changes "
        f"they read {_range(more.value, *more.interval()[:2], unit=' bits less')} about the wrong class."
    )
    return _sentence(text, MISTAKEN, more, "nats")


def _above_0(evidence: Evidence | None) -> bool:
    return evidence is not None and evidence.interval().low > 0


_OF_MISTAKES = (MISTAKEN_INFORMATION, TRUE_INFORMATION)


def _raised(profiles: LabelProfiles, training: str, names: Names) -> Sentence | None:
    """Say how much training raised what decoders read at the last layer."""
    first, last = profiles.untrained(training)[-1:], profiles.points(training, ORIGINAL)[-1:]
    if not first or not last or first[0].layer != last[0].layer or not last[0].found or first[0].undersampled:
        return None
    rise = profiles.raised(training, last[0].layer)
    if rise is None or rise.interval().low <= 0:
        return None
    text = (
        f"Training raised what decoders read of the label at {last[0].layer[1]} of {names.network(training)} from "
        f"{_bits(first[0])}, with random weights, to {_bits(last[0], bare=True)}."
    )
    return _sentence(text, LABEL, rise, "nats")


def _sentence(text: str, anchor: str, evidence: Evidence, unit: str) -> Sentence:
    interval = evidence.interval()
    return Sentence(text, anchor, evidence.value, interval.low, interval.high, unit)


def _read(point: Point) -> str:
    return f"decoders of originals read {_bits(point)} at {point.layer[1]}"


def _amount(point: Point) -> str:
    return f"{_bits(point, bare=True)} at {point.layer[1]}{_misled(point)}"


def _misled(point: Point) -> str:
    return ", where they are misled" if point.high is not None and point.high < 0 else ""


def _bits(point: Point, *, bare: bool = False) -> str:
    """Return e.g. "2.9 bits (2.8 to 3.0)"; bare without the unit."""
    unit = "" if bare else " bits"
    if point.low is None or point.high is None:
        return f"{_plain(_BITS * point.value, 1)}{unit}"
    return _range(point.value, point.low, point.high, unit=unit, ceiling=point.ceiling)


def _range(value: float, low: float, high: float, *, unit: str, ceiling: float | None = None) -> str:
    """Return nats in bits, with a second decimal where the interval is narrow; no more than the ceiling, if any."""
    decimals = 1 if _BITS * (high - low) >= 0.1 else 2
    most = math.inf if ceiling is None else ceiling
    number, start, end = (_plain(_BITS * min(one, most), decimals) for one in (value, low, high))
    passes = _BITS * (high - most) > 0.5 / 10**decimals
    return f"{number}{unit} ({start} to {'the ceiling ' if passes else ''}{end})"


def _share(evidence: Evidence) -> str:
    low, high = accuracy_ends(evidence)
    return percent(evidence.value, low, high)


def _plain(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
