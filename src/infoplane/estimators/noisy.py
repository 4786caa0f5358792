"""Monte Carlo estimator: information of noisy layer outputs, from samples of the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.checks import check_labels, check_positive
from infoplane.estimators.distinct_rows import checked_groups, first_appearances, multiplicity_entropy
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.features import FeaturePieces, row_identities
from infoplane.estimators.influence import group_means, standard_error
from infoplane.estimators.nulls import Null, label_permutations, null_from
from infoplane.estimators.pairwise import NARROW
from infoplane.estimators.permuted_sums import PermutedSums
from infoplane.estimators.precision import exact_products
from infoplane.estimators.propagation import log_ratios
from infoplane.estimators.row_products import SharedPieces
from infoplane.records import standing
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ESTIMATE, INPUT_INFORMATION, LABEL_INFORMATION, MIXTURE, NOISY

LARGEST_EXPONENT = 40.0  # exp(-40) is negligible beside a sample's own 1
ALLOWED = 2.0  # differences between all samples and half of them by which the interval is longer


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class NoisyEstimate(Estimate):
    """A Monte Carlo estimate, whose interval also allows for the bias that two halves of the samples show.

    The bias falls as 1 / N, and slower near the ceiling. So it is one difference of the value from all samples and that
    from half of them, or up to about two. The interval is longer by two, on the side of the bias.
    """

    missing: float = 0.0  # nats that all samples give more than half of them

    @property
    def low(self) -> float | None:
        """Lower end of the 95 % interval, also for the bias that the halves show."""
        low = super().low
        return None if low is None else low + min(0.0, ALLOWED * self.missing)

    @property
    def high(self) -> float | None:
        """Upper end of the 95 % interval, likewise."""
        high = super().high
        return None if high is None else high + max(0.0, ALLOWED * self.missing)


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class NoisyInformation:
    """I(X;T) and I(T;Y) of T = activations + N(0, noise_variance I), in nats.

    The ceiling of `input` is the entropy of the multiplicities of distinct rows, log N if all differ; that of
    `label` is H(Y) of these labels. `label` has a null, if permutations were asked for. `input` is `undersampled`
    if `input_shortfall` exceeds half of its standard error and 2 % of the value, which the interval covers. `label` is
    `undersampled` if `label_excess` exceeds half of its standard error: so few samples memorise their labels.
    """

    input: NoisyEstimate
    label: NoisyEstimate
    input_shortfall: float  # value from all samples less that from half; the population has more by at least this
    label_excess: float  # value from half of the samples less that from all; the population has less by at least this

    def estimates(self) -> tuple[NoisyEstimate, ...]:
        """Return both estimates."""
        return (self.input, self.label)


def noisy_information(
    activations: Tensor | FeaturePieces,
    labels: Tensor,
    *,
    noise_variance: float,
    generator: torch.Generator,
    permutations: int = 0,
    groups: Tensor | None = None,
) -> NoisyInformation:
    """Estimate I(X;T) and I(T;Y) of layer outputs observed through Gaussian noise, without bias for these samples.

    The noisy layer is a mixture of one Gaussian per sample. Each sample is propagated through the noise once,
    t_i = h_i + sqrt(noise_variance) z_i with a z_i of its own, and

        I(X;T) = mean_i [ln p(t_i|x_i) - ln p(t_i)]        I(T;Y) = mean_i [ln p(t_i|y_i) - ln p(t_i)]

    with p(t) and p(t|y) the exact densities of the mixture and of its part in the class. In expectation over the noise
    I(X;T) lies between the bounds of `kde_information`. The errors cover the draws of the noise and of the samples,
    not the bias against the population: more samples give more I(X;T), and less I(T;Y), since more labels are harder
    to memorise. `input_shortfall` and `label_excess` show that bias by comparison with the same samples in two halves,
    and the intervals allow for it. For a Gaussian layer and 1,500 samples, `input_shortfall` shows it from about 4.5
    nats below log N. In many dimensions any labels reach H(Y), and then `label_excess` shows nothing, so compare
    I(T;Y) with its null. Values are not clipped.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; or the same in pieces, read
            twice for up to 11,000 samples; for more samples once or, with fewer features than samples, once more for
            every block of at most 512 samples. At most 20,000 samples if there are as many features or more: two
            `(samples, samples)` float64 matrices are held then.
        labels: `(samples,)` integers.
        noise_variance: positive, in squared activation units.
        generator: source of the permutations and of the noise, which does not depend on their number.
        permutations: number of permuted label sets for the null, which uses the same noise.
        groups: `(samples,)` integers; samples of a group depend on each other. Permutations, errors and halves then go
            by groups. None: equal rows of one label are copies (`distinct_rows.copies`).

    Raises:
        ValueError: an argument is outside the description above.

    Source: Goldfeld et al. (ICML 2019), arXiv:1810.05728, the sample-propagation estimator and its Monte Carlo
    integral; rates of its error: Goldfeld, Greenewald, Polyanskiy & Weed (2020), arXiv:1905.13576.
    """
    return noisy_sweep(
        activations,
        labels,
        noise_variances=[noise_variance],
        generator=generator,
        permutations=permutations,
        groups=groups,
    )[0]


def noisy_sweep(
    activations: Tensor | FeaturePieces,
    labels: Tensor,
    *,
    noise_variances: Sequence[float],
    generator: torch.Generator,
    permutations: int = 0,
    groups: Tensor | None = None,
) -> list[NoisyInformation]:
    """Compute `noisy_information` at several noise variances, from the same propagation scaled by each.

    Args:
        activations, labels, generator, permutations, groups: as in `noisy_information`.
        noise_variances: at least one, each positive, in squared activation units.

    Returns:
        One result per noise variance, in their order.

    Raises:
        ValueError: an argument is outside the description.
    """
    pieces = activations if isinstance(activations, FeaturePieces) else SharedPieces(activations)
    check_labels(labels, pieces.samples)
    if len(noise_variances) == 0:
        raise ValueError("noise_variances must hold at least one number, got none")
    for variance in noise_variances:
        check_positive(variance, name="noise_variance")
    classes = torch.unique(labels.cpu(), return_inverse=True)[1]
    # Permutations equal those of other estimators with an equally seeded generator; the noise has a seed of its own,
    # so that asking for a null leaves the values as they were.
    identities = row_identities(pieces)
    groups = checked_groups(groups, lambda: identities, labels)
    permuted = label_permutations(classes, permutations, generator=generator.clone_state(), groups=groups)
    seed = torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device).item()
    noise = torch.Generator(device=generator.device).manual_seed(int(seed))
    # KDE takes samples in the order of their classes: then the products of wide layers serve both.
    narrow = pieces.features <= NARROW
    order = torch.arange(pieces.samples) if narrow else torch.argsort(classes, stable=True)
    samples = _Samples(classes[order], halves(classes, groups)[order], permuted[:, order], pieces.device)
    mixtures = [_Mixture(samples) for _ in noise_variances]
    with torch.no_grad(), exact_products(pieces.device):
        for rows, ratios in log_ratios(pieces, noise_variances, noise, order):
            for mixture, one in zip(mixtures, ratios, strict=True):
                mixture.add(rows, one)
    ceilings, back = (multiplicity_entropy(identities), multiplicity_entropy(classes)), torch.argsort(order)
    return [_information(mixture.terms(back), *ceilings, groups) for mixture in mixtures]


def _information(terms: _MixtureTerms, ceiling: float, label_ceiling: float, groups: Tensor) -> NoisyInformation:
    of_inputs, of_labels = terms.all, terms.all - terms.own_class
    value = of_inputs.mean().item()
    shortfall = value - terms.halved[0].item()
    excess = (terms.halved[0] - terms.halved[1]).item() - of_labels.mean().item()
    null = null_from((value - terms.permuted).tolist()) if len(terms.permuted) else None
    return NoisyInformation(
        input=_estimate(INPUT_INFORMATION, of_inputs, ceiling, shortfall, None, groups),
        label=_estimate(LABEL_INFORMATION, of_labels, label_ceiling, excess, null, groups),
        input_shortfall=shortfall,
        label_excess=excess,
    )


def _estimate(
    quantity: str, influences: Tensor, ceiling: float, bias: float, null: Null | None, groups: Tensor
) -> NoisyEstimate:
    error, value = standard_error(influences, groups), influences.mean().item()
    allowed = standing.SMALL_SHARE * value if quantity == INPUT_INFORMATION else 0.0
    return NoisyEstimate(
        quantity=quantity,
        kind=ESTIMATE,
        distribution=MIXTURE,
        estimator=NOISY,
        value=value,
        error=error,
        ceiling=ceiling,
        null=null,
        undersampled=standing.undersampled(bias, error, allowed=allowed),
        missing=bias if quantity == INPUT_INFORMATION else -bias,
        influences=influences,
    )


class _MixtureTerms(NamedTuple):
    """Influence terms and means, float64 on the CPU."""

    all: Tensor  # (samples,) influence terms of I(all)
    own_class: Tensor  # (samples,) influence terms of I(class of the sample)
    halved: Tensor  # (2,) I(all) and sum_c p_c I(class c), averaged over two halves of the samples
    permuted: Tensor  # (permutations,) sum_c p_c I(class c) for permuted labels


class _Samples:
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


class _Mixture:
    """Compute I and its influence terms for all samples, for each class, and for permuted classes.

    With K_ij = p(t_i|x_j) / p(t_i|x_i) and S_i = sum_j K_ij, I = mean_i ln(N / S_i). The influence of sample k is
    a_k = ln(N / S_k) - sum_{i != k} K_ik / S_i + constant: its effect as a centre, and as a component of the mixture
    for other samples (the first-order jackknife). The constant makes the mean of a_k equal to I. The same holds
    within a class.
    """

    def __init__(self, samples: _Samples) -> None:
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

    def terms(self, back: Tensor) -> _MixtureTerms:
        """Return the results. `back` are the places of the samples in the order of the log ratios."""
        own, half, counts, sums = self._of.own, self._of.half, self._of.counts, self._sums
        of_own_class = self._components[1:].gather(0, own[None])[0]
        others = torch.stack([self._components[0], of_own_class]) - sums.reciprocal()
        groups = torch.stack([torch.zeros_like(own), own])
        centres = torch.stack([torch.full_like(own, len(own)), counts[own]]).double().log() - sums.log()
        whole, within = (
            (centre - part).cpu() + group_means(part, group, len(counts))[group.cpu()]
            for centre, part, group in zip(centres, others, groups, strict=True)
        )
        half_sizes = torch.stack([half.bincount()[half], (2 * own + half).bincount()[2 * own + half]])
        return _MixtureTerms(
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
