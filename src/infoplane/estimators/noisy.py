"""Information in noisy layer outputs: its value between the pairwise bounds, by Monte Carlo over the noise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from infoplane.checks import check_activations, check_labels, check_positive
from infoplane.estimators.influence import group_means, standard_error
from infoplane.estimators.kernel_sums import permutation_chunks, sums_of_own_class
from infoplane.estimators.nulls import Null, label_permutations, null_from
from infoplane.estimators.propagation import log_ratios
from infoplane.estimators.rows import distinct_rows, multiplicity_entropy

NEAR = 3.0  # nats below the ceiling from which the estimate falls short of the population's information


@dataclass(frozen=True, kw_only=True)
class NoisyInformation:
    """I(X;T) and I(T;Y) of T = activations + N(0, noise_variance I), in nats, with standard errors.

    `influences` holds, as "input" and "label", a `(samples,)` float64 tensor in the order of the samples whose mean
    is the value. `nulls` holds, as "label", I(T;Y) for permuted labels, if permutations were asked for.
    """

    input: float
    input_error: float
    input_ceiling: float  # entropy of the multiplicities of distinct rows; log N where all differ
    near_ceiling: bool  # input lies less than 3 nats below its ceiling: too few samples, the population has more
    label: float
    label_error: float
    label_ceiling: float  # H(Y) of these labels
    influences: dict[str, Tensor]
    nulls: dict[str, Null]


def noisy_information(
    activations: Tensor, labels: Tensor, *, noise_variance: float, generator: torch.Generator, permutations: int = 0
) -> NoisyInformation:
    """Estimate I(X;T) and I(T;Y) of layer outputs observed through Gaussian noise, without bias for these samples.

    The noisy layer is a mixture of one Gaussian per sample. Each sample is propagated through the noise once,
    t_i = h_i + sqrt(noise_variance) z_i with a z_i of its own, and

        I(X;T) = mean_i [ln p(t_i|x_i) - ln p(t_i)]        I(T;Y) = mean_i [ln p(t_i|y_i) - ln p(t_i)]

    with p(t) and p(t|y) the exact densities of the mixture and of its part in the class. In expectation over the
    noise I(X;T) lies between the bounds of `kde_information`. The errors cover the draw of the noise and that of
    the samples; not the bias against the population, which grows within about 3 nats of the ceiling. In many
    dimensions any labels reach H(Y): compare I(T;Y) with its null. Values are returned raw.

    Args:
        activations: `(samples, features)`, finite, of any float type, on any device; at most 20,000 samples if
            there are as many features or more: two `(samples, samples)` float64 matrices are held then.
        labels: `(samples,)` integers.
        noise_variance: positive, in squared activation units.
        generator: source of the permutations, drawn first, and of the noise, which does not depend on their number.
        permutations: permuted labels for the null, which comes from the same noise.

    Raises:
        ValueError: an argument is outside the description above.

    Source: Goldfeld et al. (ICML 2019), arXiv:1810.05728, the sample-propagation estimator and its Monte Carlo
    integral; rates of its error: Goldfeld, Greenewald, Polyanskiy & Weed (2020), arXiv:1905.13576.
    """
    check_activations(activations)
    check_labels(labels, len(activations))
    check_positive(noise_variance, name="noise_variance")
    classes = torch.unique(labels.cpu(), return_inverse=True)[1]
    if activations.device.type == "mps":  # has no float64
        activations = activations.cpu()
    # Permutations equal those of other estimators with an equally seeded generator; the noise has a seed of its own,
    # so that asking for a null leaves the values as they were.
    permuted = label_permutations(classes, permutations, generator.clone_state())
    seed = torch.randint(2**63 - 1, (1,), generator=generator, device=generator.device).item()
    noise = torch.Generator(device=generator.device).manual_seed(int(seed))
    with torch.no_grad():
        blocks = log_ratios(activations, noise_variance, noise)
        terms = _mixture_terms(blocks, classes, permuted, activations.device)
        identities = distinct_rows(activations.detach(), torch.zeros_like(classes))

    influences = {"input": terms.all, "label": terms.all - terms.own_class}
    values = {name: part.mean().item() for name, part in influences.items()}
    ceiling = multiplicity_entropy(identities)
    return NoisyInformation(
        input=values["input"],
        input_error=standard_error(influences["input"]),
        input_ceiling=ceiling,
        near_ceiling=values["input"] > ceiling - NEAR,
        label=values["label"],
        label_error=standard_error(influences["label"]),
        label_ceiling=multiplicity_entropy(classes),
        influences=influences,
        nulls={"label": null_from((values["input"] - terms.permuted).tolist())} if permutations else {},
    )


class _MixtureTerms(NamedTuple):
    """Float64, on the CPU."""

    all: Tensor  # (samples,) influence terms of I(all)
    own_class: Tensor  # (samples,) influence terms of I(class of the sample)
    permuted: Tensor  # (permutations,) sum_c p_c I(class c) for permuted labels


def _mixture_terms(
    blocks: Iterator[tuple[slice, Tensor]], classes: Tensor, permuted: Tensor, device: torch.device
) -> _MixtureTerms:
    """Compute I and its influence terms for all samples, for each class, and for permuted classes.

    With K_ij = p(t_i|x_j) / p(t_i|x_i) and S_i = sum_j K_ij, I = mean_i ln(N / S_i). The influence of sample k is
    a_k = ln(N / S_k) - sum_{i != k} K_ik / S_i + constant: its part as a centre, and as a component in the
    mixture that others see (the first-order jackknife). The constant makes the mean of a_k equal to I. Within a
    class likewise.
    """
    samples, counts = len(classes), torch.bincount(classes)
    labels = torch.cat([classes[None], permuted]).T.contiguous().to(device)  # (samples, 1 + permutations)
    own = labels[:, 0]
    one_hot = F.one_hot(own, len(counts)).double()
    sums = torch.empty((2, samples), dtype=torch.double, device=device)  # (all | class, samples)
    permuted_sums = torch.empty(permuted.T.shape, dtype=torch.double, device=device)
    components = torch.zeros((1 + len(counts), samples), dtype=torch.double, device=device)
    for rows, ratios in blocks:
        # No maximum needs subtracting: K_ij <= exp(xi^2 / 2) with xi the noise along h_j - h_i, a standard normal
        # number, so nothing overflows; and every sum, also over a permuted class, holds K_ii = 1, so none vanishes.
        kernel = ratios.exp_()
        sums[0, rows] = kernel.sum(dim=1)
        by_class = kernel @ one_hot
        sums[1, rows] = by_class.gather(1, own[rows, None]).squeeze(1)
        for part in permutation_chunks(permuted_sums.shape[1], len(counts)):
            labelled = labels[:, 1:][:, part]
            permuted_sums[rows, part] = sums_of_own_class(kernel, labelled[rows], labelled, len(counts))
        weights = torch.cat([sums[0, rows, None].reciprocal(), one_hot[rows] / sums[1, rows, None]], dim=1)
        components.addmm_(weights.T, kernel)

    sizes = counts.to(device)
    others = torch.stack([components[0], components[1:].gather(0, own[None])[0]]) - sums.reciprocal()
    groups = torch.stack([torch.zeros_like(own), own])
    centres = torch.stack([torch.full_like(own, samples), sizes[own]]).double().log() - sums.log()
    whole, within = (
        (centre - part).cpu() + group_means(part, group, len(counts))[group.cpu()]
        for centre, part, group in zip(centres, others, groups, strict=True)
    )
    permuted_terms = (permuted_sums / sizes[labels[:, 1:]]).log()
    return _MixtureTerms(whole, whole if len(counts) == 1 else within, -permuted_terms.mean(dim=0).cpu())
