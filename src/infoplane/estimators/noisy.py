"""Monte Carlo estimator: information of noisy layer outputs, from samples of the noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from infoplane.checks import check_labels, check_positive
from infoplane.estimators.distinct_rows import checked_groups, multiplicity_entropy
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.features import FeaturePieces, row_identities
from infoplane.estimators.influence import standard_error
from infoplane.estimators.noisy_mixture import Mixture, MixtureSamples, MixtureTerms, halves
from infoplane.estimators.nulls import Null, label_permutations, null_from
from infoplane.estimators.pairwise import NARROW
from infoplane.estimators.precision import exact_products
from infoplane.estimators.propagation import log_ratios
from infoplane.estimators.row_products import SharedPieces
from infoplane.records import standing
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ESTIMATE, INPUT_INFORMATION, LABEL_INFORMATION, MIXTURE, NOISY

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
    samples = MixtureSamples(classes[order], halves(classes, groups)[order], permuted[:, order], pieces.device)
    mixtures = [Mixture(samples) for _ in noise_variances]
    with torch.no_grad(), exact_products(pieces.device):
        for rows, ratios in log_ratios(pieces, noise_variances, noise, order):
            for mixture, one in zip(mixtures, ratios, strict=True):
                mixture.add(rows, one)
    back = torch.argsort(order)
    ceilings = {"ceiling": multiplicity_entropy(identities), "label_ceiling": multiplicity_entropy(classes)}
    return [noisy_from_terms(mixture.terms(back), groups=groups, **ceilings) for mixture in mixtures]


def noisy_from_terms(terms: MixtureTerms, *, ceiling: float, label_ceiling: float, groups: Tensor) -> NoisyInformation:
    """Return the information of a mixture from its log ratios at draws of the noise.

    Args:
        terms: results of the mixture.
        ceiling: of I(X;T).
        label_ceiling: of I(T;Y).
        groups: `(samples,)` integers, equal where samples depend on each other.
    """
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
