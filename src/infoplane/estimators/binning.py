"""Binning estimator: information of binned layer outputs, from plug-in entropies of whole rows of bin numbers."""

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from infoplane.checks import check_labels, check_positive
from infoplane.estimators.bins import Bins
from infoplane.estimators.distinct_rows import (
    checked_groups,
    first_appearances,
    multiplicity_entropy,
    pair_identities,
    row_identities,
)
from infoplane.estimators.estimate import Estimate
from infoplane.estimators.features import FeaturePieces, feature_pieces
from infoplane.estimators.features import row_identities as identities_of
from infoplane.estimators.influence import standard_error
from infoplane.estimators.nulls import Null, label_permutations, null_from
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import BINNED, BINNING, ESTIMATE, INPUT_INFORMATION, LABEL_INFORMATION


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class BinningInformation:
    """Plug-in estimates, in nats, from bin numbers.

    The ceiling of `input` is the entropy of the multiplicities of distinct rows, that of `label` is H(Y) of these
    labels. `label` has a null if permutations were asked for.

    The corrections are not contained in the estimates. Added to them, they remove the bias to first order in 1 / N:
    (K - 1) / 2N for the input information and (K + K_y - K_xy - 1) / 2N for the label information, with K occupied
    cells, K_y classes and K_xy occupied pairs of the two. If most samples are alone in their cells, no correction
    helps, since the occupied cells are then far fewer than all possible ones. Both estimates are then `undersampled`.
    """

    input: Estimate  # H(Q), which is I(X;Q) since Q is a function of the input
    label: Estimate  # H(Q) - sum_c p_c H(Q|c)
    input_correction: float
    label_correction: float
    singleton_fraction: float  # samples that are alone in their cell; at 1 both estimates are at their ceilings

    def estimates(self) -> tuple[Estimate, ...]:
        """Return both estimates."""
        return (self.input, self.label)


def binning_information(
    activations: Tensor | FeaturePieces,
    labels: Tensor,
    *,
    bin_width: float | None = None,
    bins: Bins | None = None,
    permutations: int = 0,
    generator: torch.Generator | None = None,
    groups: Tensor | None = None,
) -> BinningInformation:
    """Estimate I(X;Q) and I(Q;Y), where Q is the whole row of the bin numbers of all units.

    Bins are given by their width, Q = floor(activations / bin_width), or by a policy. With a width, quotients are those
    of float64 and bin numbers have 64 bits, so that none is rounded to its neighbour. The result depends on the policy,
    also whether a layer seems to compress, so compare layers under one policy only.

    Args:
        activations: `(samples, features)`, finite, float16 to float64, on CPU or CUDA; with a width also in pieces,
            which are read once for their range and again until all rows differ.
        labels: `(samples,)` integers.
        bin_width: positive, in activation units; `None` where `bins` is given.
        bins: `EqualBins`, `UnitQuantiles` or `LayerQuantiles`; `None` where `bin_width` is given.
        permutations: number of permuted label sets for the null of the label information; they use the same bins.
        generator: source of the permutations.
        groups: `(samples,)` integers; samples of a group depend on each other. Permutations and errors then go by
            groups, and results are `undersampled` if most samples share their cells with their own group alone. None:
            equal rows of one label are copies (`distinct_rows.copies`).

    Raises:
        ValueError: an argument is outside the description above, or a bin number needs more than 63 bits.

    Source: Shwartz-Ziv & Tishby (2017), arXiv:1703.00810, Section 2.4, with bins of a fixed width as in
    Saxe et al. (2018), "On the information bottleneck theory of deep learning", ICLR; that the policy decides:
    Lorenzen, Igel & Nielsen (ICLR 2022), arXiv:2106.12912. Corrections: Miller (1955), "Note on the bias of information
    estimates"; Panzeri & Treves (1996), Network 7, 87, with occupied cells counted as in Roulston (1999),
    Physica D 125, 285.
    """
    pieces = feature_pieces(activations)
    check_labels(labels, pieces.samples)
    labels = labels.cpu()
    if bins is not None and bin_width is None:
        if isinstance(activations, FeaturePieces):
            raise ValueError("bins must be given by bin_width for activations in pieces, got a policy")
        samples, features = activations.shape
        cells = row_identities(bins.reader(activations.detach()), samples, features, activations.device)
    elif bin_width is not None and bins is None:
        check_positive(bin_width, name="bin_width")
        cells = _cells(pieces, bin_width)
    else:
        raise ValueError(f"give either bin_width or bins, got bin_width={bin_width} and bins={bins}")

    occupied, classes, pairs = (_occupied(part) for part in (cells, labels, pair_identities(cells, labels)))
    rows = identities_of(pieces, cells)  # equal rows share a cell: those alone in their cells need no comparison
    groups = checked_groups(groups, lambda: rows, labels)
    permuted = label_permutations(labels, permutations, generator=generator, groups=groups)
    singletons = (_size(cells) == 1).double().mean().item()
    alone = (_groups_of(cells, groups) == 1).double().mean().item()
    surprise = _surprise(cells)
    null_values = [(surprise - _class_surprise(cells, row)).mean().item() for row in permuted]

    def estimate(quantity: str, influences: Tensor, ceiling: float, null: Null | None = None) -> Estimate:
        return Estimate(
            quantity=quantity,
            kind=ESTIMATE,
            distribution=BINNED,
            estimator=BINNING,
            value=influences.mean().item(),
            error=standard_error(influences, groups),
            ceiling=ceiling,
            null=null,
            undersampled=alone > 0.5,
            influences=influences,
        )

    return BinningInformation(
        input=estimate(INPUT_INFORMATION, surprise, multiplicity_entropy(rows)),
        label=estimate(
            LABEL_INFORMATION,
            surprise - _class_surprise(cells, labels),
            multiplicity_entropy(labels),
            null_from(null_values) if permutations else None,
        ),
        input_correction=(occupied - 1) / (2 * len(cells)),
        label_correction=(occupied + classes - pairs - 1) / (2 * len(cells)),
        singleton_fraction=singletons,
    )


def _cells(pieces: FeaturePieces, bin_width: float) -> Tensor:
    """Return one integer per sample, `(samples,)`, equal where all bin numbers are equal."""
    extremes = [extreme.item() for _, piece in pieces.chunks() for extreme in torch.aminmax(piece)]
    largest = max(map(abs, extremes)) / bin_width
    if not largest < 2.0**62:
        raise ValueError(
            f"bin_width {bin_width} is too fine for activations up to {largest * bin_width:.4g}: "
            "bin numbers must stay below 2**62; use a wider bin"
        )
    # Multiplication by a power of two is exact in the activations' own type; other quotients need float64.
    exact_in_place = bin_width <= 1 and math.frexp(bin_width)[0] == 0.5
    wide = largest >= 2.0**31 - 1

    def read(piece: Tensor, rows: slice) -> Tensor:
        part = piece[rows]
        if exact_in_place:
            numbers = (part if part.dtype == torch.double else part.float()) * (1 / bin_width)
        else:
            numbers = part.double() / bin_width
        words = numbers.floor_().long()
        return words.view(torch.int32).long() if wide else words

    cells = torch.zeros(pieces.samples, dtype=torch.int64)
    for _, piece in pieces.chunks():
        words = piece.shape[1] * (2 if wide else 1)
        cells = pair_identities(cells, row_identities(partial(read, piece), pieces.samples, words, pieces.device))
        if len(torch.unique(cells)) == pieces.samples:
            break
    return cells


def _surprise(identities: Tensor) -> Tensor:
    """Return -ln of the frequency of each sample's identity, `(samples,)` float64; the mean is the plug-in entropy."""
    return math.log(len(identities)) - _size(identities).log()


def _size(identities: Tensor) -> Tensor:
    """Return how many samples share each sample's identity, `(samples,)` float64."""
    _, inverse, counts = torch.unique(identities, return_inverse=True, return_counts=True)
    sizes: Tensor = counts[inverse].double()
    return sizes


def _groups_of(cells: Tensor, groups: Tensor) -> Tensor:
    """Return how many groups are in each sample's cell, `(samples,)`."""
    pairs = first_appearances(pair_identities(cells, groups)) == torch.arange(len(cells))
    places = torch.unique(cells, return_inverse=True)[1]
    return torch.bincount(places, weights=pairs.double())[places]


def _occupied(identities: Tensor) -> int:
    return len(torch.unique(identities))


def _class_surprise(cells: Tensor, labels: Tensor) -> Tensor:
    """Return -ln of the frequency of each sample's cell within the sample's class, `(samples,)` float64."""
    joint = pair_identities(cells, labels)
    return _size(labels).log() - _size(joint).log()
