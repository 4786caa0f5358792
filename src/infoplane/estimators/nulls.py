"""Nulls: estimates of I(T;Y) for permuted labels, to compare an estimate with."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from infoplane.checks import check_at_least
from infoplane.estimators.distinct_rows import checked_groups
from infoplane.estimators.features import feature_pieces, row_identities
from infoplane.records import standing
from infoplane.records.short_repr import with_short_repr
from infoplane.records.standing import NUMERICAL_ERROR as NUMERICAL_ERROR  # for those who judge estimates against nulls
from infoplane.text import with_field_help


@with_field_help
@with_short_repr
class Null(NamedTuple):
    """Estimates for permuted labels, in nats.

    Attributes:
        mean: of the values.
        quantile95: one of the values, which an unrelated layer exceeds in at most 5 % of cases from 19 values on.
        values: one for each permutation.
    """

    mean: float
    quantile95: float
    values: tuple[float, ...]


def null_from(values: Sequence[float]) -> Null:
    """Summarise the estimates of all permutations.

    If the layer is unrelated to the labels, its value and those of B permutations are equally likely to be the largest.
    So it exceeds all but the highest k of them in (k + 1) / (B + 1) of cases. Here that is at most 5 %, except for few
    permutations: with 5, the largest is used and exceeded in one of 6 cases. A quantile interpolated between two values
    of 20 or 40 would be exceeded in 9 or 7 % of cases.
    """
    rank = min(len(values) - (len(values) + 1) // 20, len(values) - 1)
    return Null(mean=float(np.mean(values)), quantile95=float(np.sort(values)[rank]), values=tuple(values))


def label_permutations(
    labels: Tensor, permutations: int, *, generator: torch.Generator | None, groups: Tensor | None = None
) -> Tensor:
    """Permute labels at random: equally seeded generators give equal permutations for every layer and estimator.

    Args:
        labels: `(samples,)` integers.
        permutations: number of permutations; may be 0.
        generator: source of the draws; needed unless `permutations` is 0.
        groups: `(samples,)` integers; groups of equal size exchange their labels as a whole, so that copies keep equal
            labels. None: each sample is a group.

    Returns:
        `(permutations, samples)`, each row the labels in another order, on the device of `labels`.

    Raises:
        ValueError: `permutations` is negative, or there is no generator.
    """
    check_at_least(permutations, 0, name="permutations")
    if permutations == 0:
        return labels.new_empty((0, len(labels)))
    if generator is None:
        raise ValueError(f"a null of {permutations} permutations needs a seeded torch.Generator, got generator=None")
    if groups is None:
        groups = torch.arange(len(labels))
    alike = _groups_by_size(groups)
    return labels[torch.stack([_order(alike, generator) for _ in range(permutations)]).to(labels.device)]


def _groups_by_size(groups: Tensor) -> list[Tensor]:
    """Return the members of all groups of each size, `(groups, size)`, sizes ascending."""
    places, sizes = torch.unique(groups.cpu(), return_inverse=True, return_counts=True)[1:]
    members = torch.argsort(places, stable=True)  # group by group
    starts = sizes.cumsum(dim=0) - sizes
    return [members[starts[sizes == size][:, None] + torch.arange(size)] for size in torch.unique(sizes).tolist()]


def _order(alike: list[Tensor], generator: torch.Generator) -> Tensor:
    """Return a random order of the samples, `(samples,)`, in which groups of equal size change places."""
    order = torch.empty(sum(members.numel() for members in alike), dtype=torch.long)
    for members in alike:
        shuffled = torch.randperm(len(members), generator=generator, device=generator.device).cpu()
        order[members] = members[shuffled]
    return order


def permutation_null(
    estimate: Callable[[Tensor, Tensor], float],
    activations: Tensor,
    labels: Tensor,
    *,
    permutations: int,
    generator: torch.Generator,
    groups: Tensor | None = None,
) -> Null:
    """Compute the null of any estimator, by calling it again for each set of permuted labels.

    Args:
        estimate: from activations and labels to nats.
        activations: `(samples, features)`.
        labels: `(samples,)` integers.
        permutations: number of permutations, at least 1.
        generator: source of the permutations.
        groups: `(samples,)` integers; samples of a group depend on each other and keep their labels together. None:
            equal rows of one label are copies (`distinct_rows.copies`).

    Raises:
        ValueError: `permutations` is below 1.
    """
    check_at_least(permutations, 1, name="permutations")
    groups = checked_groups(groups, lambda: row_identities(feature_pieces(activations)), labels)
    permuted = label_permutations(labels, permutations, generator=generator, groups=groups)
    return null_from([float(estimate(activations, one)) for one in permuted])


def null_like(value: float, null: Null) -> bool:
    """Return whether `value` is no higher than the null's 95 % quantile, by the rule of `standing.null_like`."""
    return standing.null_like(value, null.quantile95)
