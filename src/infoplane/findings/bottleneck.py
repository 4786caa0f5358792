"""Whether training with a bottleneck makes a network robust, from the records of `infoplane bottleneck`.

Two claims, judged by rules that were fixed before any data. All differences are paired: the same network trained
normally (value 0), the same seed, the same images.

- Robust: at some value and radius, the bottleneck raises the share of images that are right on every path under every
  honest attack (APGD on two losses, Square, transfer; each through the mean of 20 draws and on the mean path).
- Obfuscated: at some value and radius, the gain under a weak attack, which follows the gradient of a single draw (FGSM,
  PGD-20), exceeds the gain under the honest attacks on the same images, classified by the mean of 20 draws.

A claim is supported if the interval of one difference lies above 0 at level 0.05 divided by the number of differences
(Bonferroni), and contradicted if the 95 % intervals of all differences lie below 0. With one seed it stays undecided.
An interval covers the choice of images (a t interval over images, of differences averaged over seeds) and, with several
seeds, the spread over seeds (a t interval over seeds); the two half widths are added in quadrature.

Source of the question: Korshunova et al. (2021), arXiv:2107.05712.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from infoplane.findings.claim import Claim
from infoplane.findings.evidence import Evidence, Floats, t_quantile
from infoplane.findings.finding import Finding, Statement, against
from infoplane.findings.verdict import ClaimVerdict, claim_verdict
from infoplane.measuring.intervals import wilson_interval
from infoplane.records.bottleneck import ACCURACY
from infoplane.records.evaluation import AVERAGED_DRAWS, CLEAN, ONE_PATH
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help

_WEAK = "-one-draw"  # end of the names of attacks along a single draw
ROBUST = Claim(
    number="robust",
    name="robust",
    text="Training with the bottleneck raises accuracy under the strongest honest attack.",
    trainings=(),
    needs_several_seeds=True,
    statements=lambda _: (),  # of the tables of `infoplane bottleneck`, below
)
OBFUSCATED = Claim(
    number="obfuscated",
    name="obfuscated",
    text="The bottleneck gains more accuracy under weak attacks than under honest ones: it hides gradients.",
    trainings=(),
    needs_several_seeds=True,
    statements=lambda _: (),
)


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
        tuple(claim_verdict(claim, statements) for claim, statements in found.items()),
        tuple(one.finding(claim.number) for claim, statements in found.items() for one in statements),
    )


def _robust(images: pl.DataFrame) -> Iterator[Statement]:
    """Return the gain under the strongest honest attack, over all paths, for each value and radius."""
    honest = images.filter(~pl.col("attack").str.ends_with(_WEAK))
    for value, epsilon in _compared(images):
        difference = _gain(honest, value, epsilon)
        if difference is not None:
            yield _statement(difference, value, epsilon, part="accuracy under the strongest honest attack")


def _obfuscated(images: pl.DataFrame) -> Iterator[Statement]:
    """Return by how much the gain under each weak attack exceeds that under the honest ones, on averaged draws."""
    drawn = images.filter(pl.col("path").is_in([AVERAGED_DRAWS, ONE_PATH]))
    honest = drawn.filter(~pl.col("attack").str.ends_with(_WEAK))
    weak = sorted(name for name in drawn["attack"].unique() if name.endswith(_WEAK))
    for value, epsilon in _compared(images):
        by_honest = _gain(honest, value, epsilon)
        for name in weak:
            by_weak = _gain(drawn.filter(pl.col("attack").is_in([name, CLEAN])), value, epsilon)
            if by_honest is not None and by_weak is not None and by_weak.shape == by_honest.shape:
                yield _statement(
                    by_weak - by_honest, value, epsilon, part="gain under a weak attack over that under honest ones",
                    attack=name,
                )  # fmt: skip


def _compared(images: pl.DataFrame) -> list[tuple[float, float]]:
    pairs = images.filter(pl.col("value") > 0).select("value", "epsilon").unique().sort("epsilon", "value")
    return list(pairs.iter_rows())


def _gain(images: pl.DataFrame, value: float, epsilon: float) -> Floats | None:
    """Return right under every attack of the rows, with the penalty less without, `(seeds, images)`; None without both.

    Seeds of which one of the two networks is missing are left out.
    """
    rows = images.filter(pl.col("epsilon") == epsilon, pl.col("value").is_in([0.0, value]))
    right = rows.group_by("value", "seed", "index").agg(pl.col("robust").all())
    wide = right.pivot(on="value", index=["seed", "index"], values="robust").drop_nulls().sort("seed", "index")
    names = [name for name in wide.columns if name not in ("seed", "index")]
    if len(names) < 2 or wide.is_empty():
        return None
    normal, penalised = sorted(names, key=float)
    gain = wide[penalised].cast(pl.Float64) - wide[normal].cast(pl.Float64)
    return gain.to_numpy().reshape(wide["seed"].n_unique(), -1)


def paired_evidence(differences: Floats) -> Evidence:
    """Return the mean of differences, `(seeds, images)`, with a t interval over images of their mean over seeds."""
    of_images = differences.mean(axis=0)
    value, number = float(of_images.mean()), len(of_images)

    def over_examples(alpha: float) -> tuple[float, float]:
        half = t_quantile(alpha, number - 1) * float(of_images.std(ddof=1)) / math.sqrt(number)
        return value - half, value + half

    return Evidence(values=differences.mean(axis=1), over_examples=over_examples)


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


def _statement(differences: Floats, value: float, epsilon: float, *, part: str, attack: str = "") -> Statement:
    evidence = paired_evidence(differences)
    about = f", {attack}" if attack else ""
    return Statement(
        statement=f"{part} is above 0 at value {value:g}, epsilon {epsilon:g}{about}",
        statistic=f"value {value:g}, epsilon {epsilon:g}{about}",
        quantity=ACCURACY,
        value=evidence.value,
        seeds=len(evidence.values),
        judge=against(evidence, above=True),
        part=part,
    )
