"""What the traces of attacks say, in sentences: where the label is lost, and whether kinds of attacks differ."""

import math

import polars as pl

from infoplane.findings.attack_contrasts import Contrast, contrasts
from infoplane.findings.attack_losses import Losses, lost_at
from infoplane.report.labels import training_label

RULE = (
    "A label is lost if less than half of it is left in the last layer, beyond a 95 % interval. It is lost at the "
    "layer from which on every layer has lost more than half of what the last one has, with 95 % intervals above 0. "
    "Loss: I(T;Y) that decoders of originals read from originals, minus what they read from the attacked examples "
    "(below 0 counts as 0)."
)
_BITS = 1 / math.log(2)


def answers(losses: Losses, outcomes: pl.DataFrame) -> list[str]:
    """Return one sentence per training and question.

    Args:
        losses: of the networks.
        outcomes: columns of `records.attacks.ATTACK_OUTCOME_SCHEMA`, of the same networks.
    """
    names = attack_names(outcomes)
    lost = [_lost(losses, training, names) for training in losses.trainings]
    return [*lost, *(_compared(one, names) for one in contrasts(losses, outcomes))]


def attack_names(outcomes: pl.DataFrame) -> dict[str, str]:
    """Return the names of attacks by the names of their examples."""
    return dict(outcomes.select("examples", "attack").unique(maintain_order=True).rows())


def lost_layer(losses: Losses, training: str, examples: str) -> str:
    """Return the name of the layer at which the label is lost, "nowhere", or "-" where it is not known."""
    found = lost_at(losses, training, examples)
    if found is None:
        return "-"
    return found.layer[1] if found.layer is not None else "nowhere"


def _lost(losses: Losses, training: str, names: dict[str, str]) -> str:
    places: dict[str, list[str]] = {}
    for examples in losses.attacks(training):
        places.setdefault(lost_layer(losses, training, examples), []).append(names.get(examples, examples))
    known = "; ".join(f"{place}: {', '.join(attacks)}" for place, attacks in places.items())
    return f"{training_label(training)}: where the label is lost: {known}"


def _compared(one: Contrast, names: dict[str, str]) -> str:
    first, second = (", ".join(names.get(name, name) for name in kind) for kind in (one.of_first, one.of_second))
    said = f"{training_label(one.training)}: {one.first} ({first}) against {one.second} ({second}): "
    clear = [difference for difference in one.differences if difference.is_clear]
    if not clear:
        widest = max((difference.high - difference.low for difference in one.differences), default=math.inf)
        return f"{said}no layer differs beyond its interval (widest {_BITS * widest:.2f} bits)"
    largest = max(clear, key=lambda difference: abs(difference.value))
    more = "more" if largest.value > 0 else "less"
    low, high = sorted((abs(largest.low), abs(largest.high)))
    layers = ", ".join(difference.layer[1] for difference in clear)
    return (
        f"{said}they differ at {layers}; most at {largest.layer[1]}, where {one.first} attacks take "
        f"{_BITS * abs(largest.value):.2f} bits {more} ({_BITS * low:.2f} to {_BITS * high:.2f})"
    )
