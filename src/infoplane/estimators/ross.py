"""Ross' estimator: information between a layer and labels, from nearest neighbours of class probabilities."""

import math
from typing import Literal

import torch
from torch import Tensor

from infoplane.checks import check_activations, check_at_least, check_labels
from infoplane.estimators.decoding import decoded_information
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.neighbours import shifted, subsampling_error
from infoplane.records.tables import ESTIMATE, LABEL_INFORMATION, POPULATION

_REDUCTIONS = ("decoder", "none")
_PARTS = 2  # of a subsample; smaller parts would have too few samples of each class
_PER_NEIGHBOUR = 10  # least samples of a class per neighbour; k = 10 of 10 to 20 was wrong by 0.5 nats, this by 0.08
_NARROW = 32  # up to this many units, exact differences cost less than a matrix product
_BLOCK_BYTES = 32 * 2**20  # of distances at a time
_COPIES = 1e-12  # squared distances from products, relative to squared norms, are rounding errors below this
_AS_NEAR = 1 + 1e-9  # tolerance, so that rounding does not separate neighbours at equal distances


def ross_information(
    activations: Tensor,
    labels: Tensor,
    *,
    neighbours: int = 10,
    folds: int = 5,
    reduction: Literal["decoder", "none"] = "decoder",
    generator: torch.Generator,
) -> Estimate:
    """Estimate I(T;Y) from the classes of nearest neighbours.

    Take the distance of each sample to its k-th neighbour of the same class. With k_i the number of others of the class
    that are no farther, m_i that of others of any class, and N_y the number of samples of the class:

        I(T;Y) = psi(N) + mean_i [psi(k_i) - psi(N_y) - psi(m_i)].

    m_i counts the k-th neighbour itself, as in the paper, so it is 1 + the number of others that are strictly nearer.
    Without ties k_i is k. If the k-th neighbour is a copy of the sample, k_i and m_i count all copies and the sample
    itself, as mixed KSG does (Gao et al. 2017). So no noise is needed, and constant activations give exactly 0.

    With many units no neighbour is near, and the value is far too low. So the layer is reduced first: the linear
    decoders of `decoded_information`, each fitted without one fold, map the samples of that fold to square roots of
    class probabilities. Their Euclidean distance (Hellinger's) is small where the decoder hardly separates samples, so
    the class shares vary little within it. With logits or log-probabilities the value was 0.1 nats too low. Neighbours
    are searched within the fold, and folds are averaged. By the data-processing inequality a reduction only loses
    information. What the decoders did not learn is lost here too; badly calibrated probabilities do no harm.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA.
        labels: `(samples,)` integers. A sample that is the only one of its class in a fold is left out.
        neighbours: k; for each class at most a tenth of its samples in the fold, but at least 1. In the paper, a class
            with fewer than k others uses all of them, which was wrong by up to 0.5 nats here.
        folds: as in `decoded_information`; without a reduction all samples are one fold.
        reduction: "decoder" as above; "none" uses the activations themselves.
        generator: source of the folds and of the subsamples that the error comes from.

    Returns:
        I(T;Y) in nats: it can be negative or exceed H(Y), and has no ceiling. The standard error, for given decoders,
        comes from subsampling; it is infinite if samples are too few for that.

    Raises:
        ValueError: an argument is outside the description above, or no fold has two samples of a class.

    Source: Ross (2014), PLoS ONE 9(2), e87357, Eq. 2; the error: Holmes & Nemenman (2019), Phys. Rev. E 100, 022404
    (subsampling).
    """
    check_activations(activations)
    check_labels(labels, len(activations))
    check_at_least(neighbours, 1, name="neighbours")
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction must be one of {sorted(_REDUCTIONS)}, got {reduction!r}")
    classes = torch.unique(labels.cpu(), return_inverse=True)[1]
    if reduction == "none":
        pieces = [(_centred(activations), classes)]
    else:
        decoded = decoded_information(activations, labels, generator=generator, folds=folds, shortfall=False)
        pieces = [
            ((decoder.log_probabilities(activations[rows.to(activations.device)]) / 2).exp(), classes[rows])
            for decoder, rows in zip(decoded.decoders, decoded.held_out, strict=True)
        ]
    return _average(pieces, neighbours, generator)


def _centred(activations: Tensor) -> Tensor:
    points = shifted(activations)
    # Only ratios of distances matter, and the squares of the largest values must stay in range.
    largest = points.abs().max()
    points = points / largest if largest > 0 else points
    return points - points.mean(dim=0)


def _average(pieces: list[tuple[Tensor, Tensor]], neighbours: int, generator: torch.Generator) -> Estimate:
    """Average over folds, each with its points and classes, weighted by the samples that have a neighbour."""
    total, variance, samples = 0.0, 0.0, 0
    for points, classes in pieces:

        def information(rows: Tensor, points: Tensor = points, classes: Tensor = classes) -> float:
            terms = _terms(points[rows.to(points.device)], classes[rows], neighbours)
            return terms.mean().item() if len(terms) else math.nan

        terms = _terms(points, classes, neighbours)
        if len(terms):
            error = subsampling_error(information, len(classes), generator, parts=_PARTS)
            error = math.inf if math.isnan(error) else error  # a half without two samples of a class
            total += terms.sum().item()
            variance += (len(terms) * error) ** 2
            samples += len(terms)
    if samples == 0:
        raise ValueError("labels must repeat: no class has two samples in the same fold")
    return Estimate(
        quantity=LABEL_INFORMATION,
        kind=ESTIMATE,
        distribution=POPULATION,
        estimator="ross",
        value=total / samples,
        error=math.sqrt(variance) / samples,
    )


def _terms(points: Tensor, classes: Tensor, neighbours: int) -> Tensor:
    """Return the terms of the mean, `(samples,)` float64, for samples whose class has another sample."""
    sizes = torch.bincount(classes)[classes]
    shared = sizes > 1
    points, classes = points[shared.to(points.device)], classes[shared].to(points.device)
    sizes = sizes[shared].to(points.device)
    terms = torch.empty(len(classes), dtype=torch.double, device=points.device)
    ranks = (sizes // _PER_NEIGHBOUR).clamp(1, neighbours)
    step = max(1, _BLOCK_BYTES // (4 * 8 * max(1, len(classes))))
    for start in range(0, len(classes), step):
        rows = slice(start, start + step)
        distances = _squared_distances(points[rows], points)
        own = distances.masked_fill(classes[rows, None] != classes, math.inf)
        # The nearest of all is the sample itself, at distance 0, or a copy of it.
        nearest = own.topk(int(ranks[rows].max()) + 1, dim=1, largest=False).values
        reach = _AS_NEAR * nearest.gather(1, ranks[rows, None])
        itself = (reach > 0).squeeze(1).long()  # among copies it counts as one of them, on both sides
        same, any_class = ((near <= reach).sum(dim=1) - itself for near in (own, distances))
        terms[rows] = torch.digamma(same.double()) - torch.digamma(any_class.double())
    psi_samples = torch.digamma(torch.tensor(len(classes), dtype=torch.double, device=points.device))
    return (terms + psi_samples - torch.digamma(sizes.double())).cpu()


def _squared_distances(some: Tensor, points: Tensor) -> Tensor:
    if points.shape[1] <= _NARROW:
        return torch.cdist(some, points, compute_mode="donot_use_mm_for_euclid_dist").square_()
    norms = some.square().sum(dim=1)[:, None] + points.square().sum(dim=1)
    squared = norms - 2 * (some @ points.T)
    return squared.masked_fill_(squared < _COPIES * norms, 0.0)
