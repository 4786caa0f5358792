"""What an estimate of I(T;Y) must beat: its value for permuted labels."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from infoplane.checks import check_at_least
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

    Of an unrelated layer and B permutations each is as likely the largest, so it exceeds all but the highest k in
    (k + 1) / (B + 1) of cases: here at most 5 %, but with 5 permutations, whose largest is taken, one in 6.
    Interpolated between two values, the quantile of 20 or 40 would be exceeded in 9 or 7 % of cases.
    """
    rank = min(len(values) - (len(values) + 1) // 20, len(values) - 1)
    return Null(mean=float(np.mean(values)), quantile95=float(np.sort(values)[rank]), values=tuple(values))


def label_permutations(labels: Tensor, permutations: int, *, generator: torch.Generator | None) -> Tensor:
    """Permute labels at random: equally seeded generators give equal permutations for every layer and estimator.

    Args:
        labels: `(samples,)` integers.
        permutations: how many, 0 included.
        generator: source of the draws; needed unless `permutations` is 0.

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
    orders = [torch.randperm(len(labels), generator=generator, device=generator.device) for _ in range(permutations)]
    return labels[torch.stack(orders).to(labels.device)]


def permutation_null(
    estimate: Callable[[Tensor, Tensor], float],
    activations: Tensor,
    labels: Tensor,
    *,
    permutations: int,
    generator: torch.Generator,
) -> Null:
    """Estimate again for permuted labels, which tell nothing about the layer: the slow, general way.

    Args:
        estimate: from activations and labels to nats.
        activations: `(samples, features)`.
        labels: `(samples,)` integers.
        permutations: how many, at least 1.
        generator: source of the permutations.

    Raises:
        ValueError: `permutations` is below 1.
    """
    check_at_least(permutations, 1, name="permutations")
    return null_from(
        [
            float(estimate(activations, permuted))
            for permuted in label_permutations(labels, permutations, generator=generator)
        ]
    )


def null_like(value: float, null: Null) -> bool:
    """Whether `value` is no higher than the null's 95 % quantile, as `standing.null_like` decides it."""
    return standing.null_like(value, null.quantile95)
