"""Influence terms, one number per example: their mean is the estimate, and their spread gives its error."""

import math

import torch
from torch import Tensor

NORMAL_QUANTILE = 1.959964  # 97.5 % quantile: a 95 % interval reaches this many standard errors to either side


def standard_error(influences: Tensor, groups: Tensor | None = None) -> float:
    """Return the standard error of the mean of `influences`, `(samples,)`; 0 for a single sample or group.

    Args:
        influences: one term per sample.
        groups: `(samples,)` integers; only samples of different groups are independent. None: all are.

    Source: Hampel (1974), J. Amer. Statist. Assoc. 69, 383 (the influence curve and its variance); Liang & Zeger
    (1986), Biometrika 73, 13 (the variance from sums over groups).
    """
    terms = influences.double()
    if groups is not None:
        places = torch.unique(groups, return_inverse=True)[1].to(terms.device)
        sums = torch.zeros(int(places.max()) + 1, dtype=torch.double, device=terms.device)
        # Scaled so that the standard error of the mean of these terms is that of the sums over the samples.
        terms = sums.index_add_(0, places, terms - terms.mean()) * (len(sums) / len(terms))
    if len(terms) == 1:
        return 0.0
    return terms.std().item() / math.sqrt(len(terms))


def group_means(influences: Tensor, groups: Tensor, number_of_groups: int) -> Tensor:
    """Average influence terms over groups of examples. Errors of any difference can be computed from them later.

    Args:
        influences: `(samples,)`.
        groups: `(samples,)` integers from 0 to `number_of_groups - 1`.
        number_of_groups: how many groups there are.

    Returns:
        `(number_of_groups,)` float64 on the CPU; NaN for a group without examples.

    Raises:
        ValueError: shapes differ, or a group lies outside the range.
    """
    influences, groups = influences.detach().cpu().double(), groups.cpu()
    if influences.ndim != 1 or groups.shape != influences.shape:
        raise ValueError(
            f"influences and groups must both have shape (samples,), "
            f"got {tuple(influences.shape)} and {tuple(groups.shape)}"
        )
    if len(groups) and (int(groups.min()) < 0 or int(groups.max()) >= number_of_groups):
        raise ValueError(
            f"groups must lie in [0, {number_of_groups}), found {int(groups.min())} to {int(groups.max())}"
        )
    sums = torch.bincount(groups, weights=influences, minlength=number_of_groups)
    return sums / torch.bincount(groups, minlength=number_of_groups)
