"""Whether training with a bottleneck makes a network robust, from the records of `infoplane bottleneck`.

Two claims. All differences are paired: the same seeds, the same images.

- Robust: at some value and radius, the share of images that are right on every path under every attack is higher than
  that of the same network trained normally (value 0). All examples count that were verified: one that breaks an image
  breaks it, also if the attack that made it is a weak one.
- Obfuscated: at some value above 0 and some radius, PGD-20 that follows the gradient of a single draw leaves more
  images right than the same PGD-20 through the mean of 20 draws. Both attack the same network, and the same mean of 20
  draws classifies their examples. Only networks that draw random numbers are judged. The difference at value 0 is
  shown, and decides nothing: it is that of the same noise without the penalty.

The rules were fixed before any data, and changed on 2026-11-29 after first results had been seen. Before, the first
left out attacks along a single draw, which the worst case of the tables counts. The second compared the gain over value
0 under such attacks with the gain under all others. That is above 0 also for a network that is really more robust,
where the strongest attacks leave next to nothing of both networks, and for networks without noise.

A claim is supported if the interval of one difference lies above 0 at level 0.05 divided by the number of differences
(Bonferroni), and contradicted if the 95 % intervals of all differences lie below 0. With one seed it stays undecided.
An interval covers the choice of images (the score interval of Tango 1998, of counts averaged over seeds) and, with
several seeds, the spread over seeds (a t interval over seeds); the two half widths are added in quadrature. Counts
averaged over seeds have at least the error of the averaged difference, as if the images of all seeds erred together.

Source of the question: Korshunova et al. (2021), arXiv:2107.05712.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infoplane.findings.claim import Claim
from infoplane.findings.evidence import Evidence
from infoplane.findings.finding import Finding, Statement, against
from infoplane.findings.verdict import ClaimVerdict, claim_verdict
from infoplane.measuring.intervals import paired_score_interval, wilson_interval
from infoplane.records.bottleneck import ACCURACY
from infoplane.records.evaluation import AVERAGED_DRAWS, DRAWS
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help

ONE_DRAW, ALL_DRAWS = "pgd-20-one-draw", "pgd-20"  # the same attack along single draws, and through their mean
ROBUST = Claim(
    number="robust",
    name="robust",
    text="Training with the bottleneck raises accuracy in the worst case over all attacks.",
    trainings=(),
    needs_several_seeds=True,
    statements=lambda _: (),  # of the tables of `infoplane bottleneck`, below
)
OBFUSCATED = Claim(
    number="obfuscated",
    name="obfuscated",
    text=f"With the bottleneck, PGD along single draws breaks fewer images than PGD through {DRAWS} draws.",
    trainings=(),
    needs_several_seeds=True,
    statements=lambda _: (),
)
_WITHOUT = {
    ROBUST: "no network of value 0 and one of another value have the same seed",
    OBFUSCATED: "no network of a value above 0 draws random numbers",
}
Right = NDArray[np.bool_]  # (seeds, images)


@with_field_help
@with_short_repr
class Judged(NamedTuple):
    """Verdicts on both claims, and the differences that they rest on.

    Attributes:
        verdicts: one for each claim.
        findings: one for each difference, with its 95 % interval.
    """

    verdicts: tuple[ClaimVerdict, ...]
    findings: tuple[Finding, ...]


def judged(images: pl.DataFrame) -> Judged:
    """Judge both claims.

    Args:
        images: columns of `records.bottleneck.BOTTLENECK_IMAGE_SCHEMA`.
    """
    found = {ROBUST: list(_robust(images)), OBFUSCATED: list(_obfuscated(images))}
    return Judged(
        tuple(_verdict(claim, statements) for claim, statements in found.items()),
        tuple(one.finding(claim.number) for claim, statements in found.items() for one in statements),
    )


def _verdict(claim: Claim, statements: Sequence[Statement]) -> ClaimVerdict:
    verdict = claim_verdict(claim, statements)
    return verdict if any(one.part for one in statements) else verdict._replace(reason=_WITHOUT[claim])


def _robust(images: pl.DataFrame) -> Iterator[Statement]:
    """Return the gain in the worst case over all paths and attacks, for each value and radius."""
    right = images.group_by("epsilon", "value", "seed", "index").agg(pl.col("robust").all())
    for value, epsilon in _points(images.filter(pl.col("value") > 0)):
        own = right.filter(pl.col("epsilon") == epsilon)
        pair = _pair(own.filter(pl.col("value") == value), own.filter(pl.col("value") == 0))
        if pair is not None:
            yield _statement(*pair, value, epsilon, part="accuracy in the worst case less that at value 0")


def _obfuscated(images: pl.DataFrame) -> Iterator[Statement]:
    """Return what PGD along single draws leaves more than PGD through all draws, for each value and radius."""
    drawn = images.filter(pl.col("path") == AVERAGED_DRAWS)
    for value, epsilon in _points(drawn):
        own = drawn.filter(pl.col("epsilon") == epsilon, pl.col("value") == value)
        pair = _pair(own.filter(pl.col("attack") == ONE_DRAW), own.filter(pl.col("attack") == ALL_DRAWS))
        if pair is not None:
            part = f"accuracy under {ONE_DRAW} less that under {ALL_DRAWS}"
            yield _statement(*pair, value, epsilon, part=part, primary=value > 0)


def _points(images: pl.DataFrame) -> list[tuple[float, float]]:
    return list(images.select("value", "epsilon").unique().sort("epsilon", "value").iter_rows())


def _pair(first: pl.DataFrame, second: pl.DataFrame) -> tuple[Right, Right] | None:
    """Return which images are right, of each seed that both tables have; None if there is none."""
    both = first.join(second, on=["seed", "index"], suffix="_second").sort("seed", "index")
    if both.is_empty():
        return None
    seeds = both["seed"].n_unique()
    return both["robust"].to_numpy().reshape(seeds, -1), both["robust_second"].to_numpy().reshape(seeds, -1)


def paired_evidence(first: Right, second: Right) -> Evidence:
    """Return the difference of two shares of the same images, with the score interval of counts averaged over seeds.

    Args:
        first: `(seeds, images)`, which images count for the first share.
        second: likewise for the second share.
    """
    only_first, only_second = (float(one.sum(axis=1).mean()) for one in (first & ~second, second & ~first))

    def over_examples(alpha: float) -> tuple[float, float]:
        return tuple(paired_score_interval(only_first, only_second, first.shape[1], alpha=alpha))  # type: ignore[return-value]

    return Evidence(values=first.mean(axis=1) - second.mean(axis=1), over_examples=over_examples)


def share_evidence(shares: Sequence[float], images: int) -> Evidence:
    """Return the mean of shares of the same images, one per seed, with the Wilson interval over images.

    Args:
        shares: of each seed.
        images: their number.
    """
    values = np.array(shares)

    def over_examples(_alpha: float) -> tuple[float, float]:
        return tuple(wilson_interval(float(values.mean()) * images, images))  # type: ignore[return-value]

    return Evidence(values=values, over_examples=over_examples)


def _statement(
    first: Right, second: Right, value: float, epsilon: float, *, part: str, primary: bool = True
) -> Statement:
    evidence = paired_evidence(first, second)
    return Statement(
        statement=f"{part} is above 0 at value {value:g}, epsilon {epsilon:g}",
        statistic=f"value {value:g}, epsilon {epsilon:g}",
        quantity=ACCURACY,
        value=evidence.value,
        seeds=len(evidence.values),
        judge=against(evidence, above=True),
        part=part if primary else "",
    )
