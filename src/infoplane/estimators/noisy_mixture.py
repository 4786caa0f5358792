"""Mixture over samples: its information from log ratios of densities, with influence terms, halves and nulls."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.estimators.distinct_rows import first_appearances
from infoplane.estimators.influence import group_means
from infoplane.estimators.permuted_sums import PermutedSums

LARGEST_EXPONENT = 40.0  # exp(-40) is negligible beside a sample's own 1


class MixtureTerms(NamedTuple):
    """Influence terms and means, float64 on the CPU."""

    all: Tensor  # (samples,) influence terms of I(all)
    own_class: Tensor  # (samples,) influence terms of I(class of the sample)
    halved: Tensor  # (2,) I(all) and sum_c p_c I(class c), averaged over two halves of the samples
    permuted: Tensor  # (permutations,) sum_c p_c I(class c) for permuted labels


class MixtureSamples:
    """Labels of the samples, the same for all noise variances, in the order of the log ratios.

    Args:
        classes: `(samples,)` class numbers.
        half: `(samples,)` 0 or 1.
        permuted: `(permutations, samples)` class numbers in permuted orders.
        device: of the log ratios.
    """

    def __init__(self, classes: Tensor, half: Tensor, permuted: Tensor, device: torch.device) -> None:
        self.counts = torch.bincount(classes).to(device)
        self.own, self.half, self.labels = (part.to(device) for part in (classes, half, permuted.T.contiguous()))
        self.one_hot = F.one_hot(self.own, len(self.counts)).float()
        self.quarters = F.one_hot(2 * self.own + self.half, 2 * len(self.counts)).float()  # halves of each class


class Mixture:
    """Compute I and its influence terms for all samples, for each class, and for permuted classes.

    With K_ij = p(t_i|x_j) / p(t_i|x_i) and S_i = sum_j K_ij, I = mean_i ln(N / S_i). The influence of sample k is
    a_k = ln(N / S_k) - sum_{i != k} K_ik / S_i + constant: its effect as a centre, and as a component of the mixture
    for other samples (the first-order jackknife). The constant makes the mean of a_k equal to I. The same holds
    within a class.
    """

    def __init__(self, samples: MixtureSamples) -> None:
        self._of, number, device = samples, len(samples.own), samples.own.device
        self._sums, self._half_sums = torch.empty((2, 2, number), dtype=torch.double, device=device)  # each (all|class)
        self._null = PermutedSums(samples.labels, len(samples.counts), 1)
        self._components = torch.zeros((1 + len(samples.counts), number), dtype=torch.double, device=device)

    def add(self, rows: slice, ratios: Tensor) -> None:
        """Add the log ratios of some samples, `(rows, samples)`, which are overwritten."""
        of, classes = self._of, len(self._of.counts)
        # No maximum must be subtracted. K_ij <= exp(xi^2 / 2), with xi the standard normal noise along h_j - h_i, so
        # nothing overflows. Every sum, also over a permuted class, contains K_ii = 1, so none vanishes, and float32 is
        # precise enough for kernels and sums. Denormal numbers would be slow.
        kernel = ratios.float().clamp_(min=-LARGEST_EXPONENT).exp_()
        by_half = (kernel @ of.quarters).view(len(kernel), -1, 2)
        sums = self._sums[:, rows] = _all_and_own(by_half.sum(dim=2), of.own[rows])
        in_own_half = by_half.gather(2, of.half[rows, None, None].expand(-1, classes, 1)).squeeze(2)
        self._half_sums[:, rows] = _all_and_own(in_own_half, of.own[rows])
        self._null.add(rows, slice(0, len(of.own)), [kernel], [sums[0].float()])
        weights = torch.cat([sums[0, :, None].reciprocal(), of.one_hot[rows] / sums[1, :, None]], dim=1)
        self._components += weights.T @ kernel

    def terms(self, back: Tensor, *, own: bool = False) -> MixtureTerms:
        """Return the results.

        Args:
            back: places of the samples in the order of the log ratios.
            own: whether a sample is also a component for itself, as in `kernel_sums.kernel_terms`.
        """
        classes, half, counts, sums = self._of.own, self._of.half, self._of.counts, self._sums
        of_own_class = self._components[1:].gather(0, classes[None])[0]
        components = torch.stack([self._components[0], of_own_class])
        others = components if own else components - sums.reciprocal()
        groups = torch.stack([torch.zeros_like(classes), classes])
        centres = torch.stack([torch.full_like(classes, len(classes)), counts[classes]]).double().log() - sums.log()
        whole, within = (
            (centre - part).cpu() + group_means(part, group, len(counts))[group.cpu()]
            for centre, part, group in zip(centres, others, groups, strict=True)
        )
        quarters = 2 * classes + half
        half_sizes = torch.stack([half.bincount()[half], quarters.bincount()[quarters]])
        return MixtureTerms(
            all=whole[back],
            own_class=(whole if len(counts) == 1 else within)[back],
            halved=(half_sizes.double().log() - self._half_sums.log()).mean(dim=1).cpu(),
            permuted=-(self._null.of_own_class()[0] / counts[self._of.labels]).log().mean(dim=0).cpu(),
        )


def _all_and_own(by_class: Tensor, own: Tensor) -> Tensor:
    """Return sums over all classes and over each row's own class, `(2, rows)`, from sums `(rows, classes)`."""
    return torch.stack([by_class.sum(dim=1), by_class.gather(1, own[:, None]).squeeze(1)])


def halves(classes: Tensor, groups: Tensor | None = None) -> Tensor:
    """Split samples at random, each class evenly, into halves 0 and 1. Equal classes give equal halves.

    Samples of a group, `(samples,)` integers, get the same half. None: each sample is a group.
    """
    members = torch.arange(len(classes)) if groups is None else first_appearances(groups)
    firsts = torch.unique(members)
    order = firsts[torch.randperm(len(firsts), generator=torch.Generator().manual_seed(0))]
    order = order[torch.argsort(classes[order], stable=True)]
    half = torch.empty_like(classes)
    half[order] = torch.arange(len(order)) % 2
    return half[members]
