"""Do kinds of attacks leave the same trace? Mean losses of two kinds, compared layer by layer on the same examples.

The kinds are fixed by what an attack may do, never by its result:

- weak and strong: white-box attacks in the ball with one gradient per image, and with several;
- black-box and white-box: attacks in the ball without the network's gradients (by queries, or through another network),
  and white-box attacks in the ball with several gradients;
- small norm and fixed ball: white-box attacks that look for the smallest perturbation, and those in the ball with
  several gradients.
"""

from typing import NamedTuple

import polars as pl

from infoplane.findings.attack_losses import CARRIED, Losses, less
from infoplane.findings.evidence import LEVEL

_SEVERAL = 1.5  # gradients per image: above it, an attack takes more than one


class Difference(NamedTuple):
    """How much more the first kind takes from one layer, in nats, with an interval for all layers together."""

    layer: tuple[int, str]
    value: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


class Contrast(NamedTuple):
    """Two kinds of attacks, and the differences between their mean losses.

    Attributes:
        training: of the networks.
        first: name of the first kind.
        second: name of the second kind.
        of_first: examples of the attacks of the first kind.
        of_second: likewise.
        differences: loss under the first kind minus that under the second, by layer, with 95 % intervals that hold
            for all layers together (Bonferroni).
    """

    training: str
    first: str
    second: str
    of_first: tuple[str, ...]
    of_second: tuple[str, ...]
    differences: tuple[Difference, ...]


def kinds_of(outcomes: pl.DataFrame) -> dict[str, tuple[str, ...]]:
    """Return the examples of each kind of attacks.

    Args:
        outcomes: columns of `records.attacks.ATTACK_OUTCOME_SCHEMA`.
    """
    white, in_ball = pl.col("threat") == "white-box", pl.col("in_ball")
    several = pl.col("gradients") > _SEVERAL
    chosen = {
        "weak": white & in_ball & ~several,
        "strong": white & in_ball & several,
        "black-box": pl.col("threat").is_in(["black-box", "transfer"]) & in_ball,
        "white-box": white & in_ball & several,
        "small-norm": white & ~in_ball,
        "fixed-ball": white & in_ball & several,
    }
    return {kind: tuple(dict.fromkeys(outcomes.filter(rule)["examples"])) for kind, rule in chosen.items()}


_PAIRS = (("weak", "strong"), ("black-box", "white-box"), ("small-norm", "fixed-ball"))


def contrasts(losses: Losses, outcomes: pl.DataFrame) -> list[Contrast]:
    """Return the contrasts of which both kinds were measured, for each training.

    Args:
        losses: of the networks.
        outcomes: columns of `records.attacks.ATTACK_OUTCOME_SCHEMA`, of the same networks.
    """
    found = []
    for training in losses.trainings:
        kinds = kinds_of(outcomes.filter(pl.col("training") == training))
        for first, second in _PAIRS:
            of_first, of_second = kinds[first], kinds[second]
            if of_first and of_second:
                differences = _differences(losses, training, of_first, of_second)
                found.append(Contrast(training, first, second, of_first, of_second, differences))
    return found


def _differences(
    losses: Losses, training: str, first: tuple[str, ...], second: tuple[str, ...]
) -> tuple[Difference, ...]:
    layers, found = losses.layers(training), []
    for layer in layers:
        one, other = (losses.mean(training, examples, layer, CARRIED) for examples in (first, second))
        if one is not None and other is not None and one.values.shape == other.values.shape:
            evidence = less(one, other).evidence()
            interval = evidence.interval(LEVEL / len(layers))
            found.append(Difference(layer, evidence.value, interval.low, interval.high))
    return tuple(found)
