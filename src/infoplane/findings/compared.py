"""Differences between two runs, with intervals over the choice of examples and over training seeds.

A number of a run is a mean over its training seeds. Two errors move the difference of two such numbers:

- the training seeds, known where both runs have at least two. Of runs with the same seeds, the difference of each seed
  is taken first; otherwise the seeds of the two runs are independent samples.
- the choice of examples, known from the means over fixed groups of examples (`group_means`). Of runs that measured the
  same examples, the difference of each group is taken first: what is common to both runs cancels. Otherwise the groups
  of the two runs are independent samples.

Both spreads contain how each network responds to each group, so the variances add less that of this interaction.
With one seed in a run the interval covers the choice of examples alone: it is about these networks, and says nothing
about other networks that were trained the same way.

Source: Cameron, Gelbach & Miller (2011), J. Bus. Econ. Stat. 29(2), Section 2.2 (two-way clustering); Welch (1947),
Biometrika 34, 28 (two samples of unequal variance).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from infoplane.findings.evidence import LEVEL, Floats, Paired, t_quantile


class Spread(NamedTuple):
    """Variance of a mean, and the degrees of freedom of its estimate."""

    variance: float
    freedom: float


class Difference(NamedTuple):
    """The second run's number minus the first's, and the spreads that its intervals are made of.

    Attributes:
        value: the difference.
        examples: over the choice of examples; None where the records hold no error.
        seeds: over training seeds; None unless both runs have at least two.
        interaction: the part of the variance that both spreads contain.
    """

    value: float
    examples: Spread | None
    seeds: Spread | None
    interaction: float

    @property
    def covers_seeds(self) -> bool:
        """Whether its intervals hold for other training seeds too, and not only for the networks at hand."""
        return self.seeds is not None

    def interval(self, alpha: float = LEVEL) -> tuple[float, float] | None:
        """Return the ends of a 1 - alpha interval, None where the records hold no error."""
        if self.examples is None:
            return None
        variance, half = self.examples.variance, 0.0
        if self.seeds is not None:
            variance = max(0.0, variance - self.interaction)
            half = t_quantile(alpha, self.seeds.freedom) * math.sqrt(self.seeds.variance)
        half = math.hypot(half, t_quantile(alpha, self.examples.freedom) * math.sqrt(variance))
        return self.value - half, self.value + half


class Sample(NamedTuple):
    """One number of one run.

    Attributes:
        paired: the number and its group means by seed.
        errors: standard errors by seed, `(seeds,)`, NaN where there are none; used where there are no group means.
        seeds: the training seeds, in the order of the numbers.
    """

    paired: Paired
    errors: Floats
    seeds: tuple[int, ...]


def difference(first: Sample, second: Sample, *, same_examples: bool) -> Difference:
    """Return the second number minus the first.

    Args:
        first: of one run.
        second: of the other.
        same_examples: whether both runs measured the same examples, in the same groups.
    """
    value = float(second.paired.values.mean() - first.paired.values.mean())
    groups = [one.paired.groups for one in (first, second)]
    same_groups = same_examples and groups[0].shape[1] == groups[1].shape[1]
    known = [np.isfinite(own).all(axis=0) for own in groups]
    if same_groups:  # a group that is empty in one run only is left out of both, so that the others stay paired
        known = [known[0] & known[1]] * 2
    groups = [own[:, kept] for own, kept in zip(groups, known, strict=True)]
    grouped = all(own.shape[1] > 1 for own in groups)
    same_groups = same_groups and grouped
    matched = same_groups and first.seeds == second.seeds
    values = [first.paired.values, second.paired.values]
    if matched:  # both runs see the same seeds and groups: one sample of differences
        values, groups = [values[1] - values[0]], [groups[1] - groups[0]]
    seeds = _independent([_spread(own) for own in values]) if all(len(own) > 1 for own in values) else None
    if not grouped:
        errors = [_error(one.errors) for one in (first, second)]
        return Difference(value, _independent(errors) if all(map(_is_known, errors)) else None, seeds, 0.0)
    means = [own.mean(axis=0) for own in groups]
    if same_groups and not matched:
        means = [means[1] - means[0]]
    examples = _independent([_spread(own) for own in means])
    return Difference(value, examples, seeds, sum(map(_interaction, groups)))


def together(alpha: float, number: int) -> float:
    """Return the level of each of `number` intervals that hold together at level alpha (Bonferroni)."""
    return alpha / max(1, number)


def _spread(values: Floats) -> Spread:
    number = len(values)
    return Spread(float(values.var(ddof=1)) / number, number - 1)


def _error(errors: Floats) -> Spread:
    """Return the error of a mean over seeds that see the same examples: they may all err together."""
    return Spread(float(errors.mean()) ** 2, math.inf)


def _is_known(spread: Spread) -> bool:
    return math.isfinite(spread.variance)


def _independent(parts: Sequence[Spread]) -> Spread:
    """Add the variances of independent means (Welch-Satterthwaite)."""
    variance = sum(part.variance for part in parts)
    uncertain = sum(part.variance**2 / part.freedom for part in parts)
    freedom = variance**2 / uncertain if uncertain else min(part.freedom for part in parts)
    return Spread(variance, freedom)


def _interaction(groups: Floats) -> float:
    """Return the variance that the response of each network to each group adds to the mean over both; 0 of one seed."""
    seeds, number = groups.shape
    if seeds < 2:
        return 0.0
    rest = groups - groups.mean(axis=0) - groups.mean(axis=1, keepdims=True) + groups.mean()
    return float(np.square(rest).sum() / ((seeds - 1) * (number - 1) * seeds * number))
