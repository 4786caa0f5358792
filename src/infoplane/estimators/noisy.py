"""Monte Carlo estimator: information of noisy layer outputs, from samples of the noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.checks import check_labels, check_positive
from infoplane.estimators.distinct_rows import multiplicity_entropy
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.features import FeaturePieces, feature_pieces, row_identities
from infoplane.estimators.influence import group_means, standard_error
from infoplane.estimators.kernel_sums import one_hot_columns, permutation_chunks, sums_of_own_class
from infoplane.estimators.nulls import Null, label_permutations, null_from
from infoplane.estimators.propagation import log_ratios
from infoplane.records.short_repr import with_short_repr
from infoplane.records.standing import NUMERICAL_ERROR
from infoplane.records.tables import ESTIMATE, INPUT_INFORMATION, LABEL_INFORMATION, MIXTURE, NOISY

# The bias against the population is 1.4 to 2 times larger with half of the samples than with all (measured for Gaussian
# layers of 2 to 2,000 features up to 2 nats below log N). If the two values differ by more than half a standard error,
# the bias is larger than what the error states.
NOTICED = 0.5
ALLOWED = 2.0  # differences between all samples and half of them by which the interval is longer
COLUMN_BYTES = 64 * 2**20  # size of the one-hot columns of permutations, per product


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
    if `input_shortfall` exceeds half of its standard error. `label` is `undersampled` if `label_excess` exceeds half
    of its standard error: so few samples memorise their labels.
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
            once or, with fewer features than samples, once more for every block of at most 512 samples. At most 20,000
            samples if there are as many features or more: two `(samples, samples)` float64 matrices are held then.
        labels: `(samples,)` integers.
        noise_variance: positive, in squared activation units.
        generator: source of the permutations and of the noise, which does not depend on their number.
        permutations: number of permuted label sets for the null, which uses the same noise.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Goldfeld et al. (ICML 2019), arXiv:1810.05728, the sample-propagation estimator and its Monte Carlo
    integral; rates of its error: Goldfeld, Greenewald, Polyanskiy & Weed (2020), arXiv:1905.13576.
    """
    pieces = feature_pieces(activations)
    check_labels(labels, pieces.samples)
    check_positive(noise_variance, name="noise_variance")
    classes = torch.unique(labels.cpu(), return_inverse=True)[1]
    # Permutations equal those of other estimators with an equally seeded generator; the noise has a seed of its own,
    # so that asking for a null leaves the values as they were.
    permuted = label_permutations(classes, permutations, generator=generator.clone_state())
    seed = torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device).item()
    noise = torch.Generator(device=generator.device).manual_seed(int(seed))
    with torch.no_grad():
        blocks = log_ratios(pieces, noise_variance, noise)
        terms = _mixture_terms(blocks, classes, permuted, pieces.device)
        identities = row_identities(pieces)

    of_inputs, of_labels = terms.all, terms.all - terms.own_class
    value = of_inputs.mean().item()
    shortfall = value - terms.halved[0].item()
    excess = (terms.halved[0] - terms.halved[1]).item() - of_labels.mean().item()
    null = null_from((value - terms.permuted).tolist()) if permutations else None
    return NoisyInformation(
        input=_estimate(INPUT_INFORMATION, of_inputs, multiplicity_entropy(identities), shortfall, None),
        label=_estimate(LABEL_INFORMATION, of_labels, multiplicity_entropy(classes), excess, null),
        input_shortfall=shortfall,
        label_excess=excess,
    )


def _estimate(quantity: str, influences: Tensor, ceiling: float, bias: float, null: Null | None) -> NoisyEstimate:
    error = standard_error(influences)
    return NoisyEstimate(
        quantity=quantity,
        kind=ESTIMATE,
        distribution=MIXTURE,
        estimator=NOISY,
        value=influences.mean().item(),
        error=error,
        ceiling=ceiling,
        null=null,
        undersampled=bias > max(NOTICED * error, NUMERICAL_ERROR),
        missing=bias if quantity == INPUT_INFORMATION else -bias,
        influences=influences,
    )


class _MixtureTerms(NamedTuple):
    """Influence terms and means, float64 on the CPU."""

    all: Tensor  # (samples,) influence terms of I(all)
    own_class: Tensor  # (samples,) influence terms of I(class of the sample)
    halved: Tensor  # (2,) I(all) and sum_c p_c I(class c), averaged over two halves of the samples
    permuted: Tensor  # (permutations,) sum_c p_c I(class c) for permuted labels


def _mixture_terms(
    blocks: Iterator[tuple[slice, Tensor]], classes: Tensor, permuted: Tensor, device: torch.device
) -> _MixtureTerms:
    """Compute I and its influence terms for all samples, for each class, and for permuted classes.

    With K_ij = p(t_i|x_j) / p(t_i|x_i) and S_i = sum_j K_ij, I = mean_i ln(N / S_i). The influence of sample k is
    a_k = ln(N / S_k) - sum_{i != k} K_ik / S_i + constant: its effect as a centre, and as a component of the mixture
    for other samples (the first-order jackknife). The constant makes the mean of a_k equal to I. The same holds
    within a class.
    """
    samples, counts = len(classes), torch.bincount(classes).to(device)
    own, half, labels = (part.to(device) for part in (classes, halves(classes), permuted.T.contiguous()))
    one_hot = F.one_hot(own, len(counts)).double()
    quarters = F.one_hot(2 * own + half, 2 * len(counts)).double()  # halves of each class
    sums, half_sums = torch.empty((2, 2, samples), dtype=torch.double, device=device)  # each (all | class, samples)
    permuted_sums = torch.empty(labels.shape, dtype=torch.double, device=device)
    components = torch.zeros((1 + len(counts), samples), dtype=torch.double, device=device)
    for rows, ratios in blocks:
        # No maximum must be subtracted. K_ij <= exp(xi^2 / 2), with xi the standard normal noise along h_j - h_i, so
        # nothing overflows. Every sum, also over a permuted class, contains K_ii = 1, so none vanishes.
        kernel = ratios.exp_()
        by_half = (kernel @ quarters).view(len(kernel), -1, 2)
        sums[:, rows] = _all_and_own(by_half.sum(dim=2), own[rows])
        in_own_half = by_half.gather(2, half[rows, None, None].expand(-1, len(counts), 1)).squeeze(2)
        half_sums[:, rows] = _all_and_own(in_own_half, own[rows])
        for part in permutation_chunks(labels.shape[1], len(counts), COLUMN_BYTES // (8 * samples)):
            columns = one_hot_columns(labels[:, part], len(counts), kernel.dtype)
            permuted_sums[rows, part] = sums_of_own_class(kernel, labels[rows, part], columns)
        weights = torch.cat([sums[0, rows, None].reciprocal(), one_hot[rows] / sums[1, rows, None]], dim=1)
        components.addmm_(weights.T, kernel)

    others = torch.stack([components[0], components[1:].gather(0, own[None])[0]]) - sums.reciprocal()
    groups = torch.stack([torch.zeros_like(own), own])
    centres = torch.stack([torch.full_like(own, samples), counts[own]]).double().log() - sums.log()
    whole, within = (
        (centre - part).cpu() + group_means(part, group, len(counts))[group.cpu()]
        for centre, part, group in zip(centres, others, groups, strict=True)
    )
    half_sizes = torch.stack([half.bincount()[half], (2 * own + half).bincount()[2 * own + half]])
    return _MixtureTerms(
        all=whole,
        own_class=whole if len(counts) == 1 else within,
        halved=(half_sizes.double().log() - half_sums.log()).mean(dim=1).cpu(),
        permuted=-(permuted_sums / counts[labels]).log().mean(dim=0).cpu(),
    )


def _all_and_own(by_class: Tensor, own: Tensor) -> Tensor:
    """Return sums over all classes and over each row's own class, `(2, rows)`, from sums `(rows, classes)`."""
    return torch.stack([by_class.sum(dim=1), by_class.gather(1, own[:, None]).squeeze(1)])


def halves(classes: Tensor) -> Tensor:
    """Split samples at random, each class evenly, into halves 0 and 1. Equal classes give equal halves."""
    order = torch.randperm(len(classes), generator=torch.Generator().manual_seed(0))
    order = order[torch.argsort(classes[order], stable=True)]
    half = torch.empty_like(classes)
    half[order] = torch.arange(len(classes)) % 2
    return half
