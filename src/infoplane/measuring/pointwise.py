"""Pointwise information about the label of each example in one layer, by cross-fitted decoders."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators import DecodedInformation
from infoplane.estimators.decoders import HeldOutInformation
from infoplane.measuring.fitted_decoders import fitted_decoders, label_sets
from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import ORIGINAL


@with_short_repr
class Pointwise(NamedTuple):
    """Pointwise information of each example."""

    information: Tensor  # (n,) float64 on the CPU, in nats: ln q(y|t) - ln p(y)
    encoded: Tensor  # (n,) booleans: whether that is above 0, by a decoder that is not the class prior alone


@with_short_repr
class PointwiseLayer(NamedTuple):
    """Pointwise information in one layer, by version of the examples."""

    labels: Mapping[str, Pointwise]
    permuted: Mapping[str, list[Pointwise]]  # about permuted labels, one for each permutation
    undersampled: bool | None  # whether decoders of half as many originals find clearly less


def pointwise_information(
    versions: Mapping[str, Tensor], labels: Tensor, *, groups: Tensor, examples_seed: int, permutations: int
) -> PointwiseLayer:
    """Return what a layer tells about the label of each single example.

    Decoders are fitted to the originals, as `estimators.decoded_information` fits them. Each version of an example is
    decoded by the decoder whose fit did not include the example. The mean over the examples is the decoded I(T;Y).

    Near 0 the sign means nothing if the decoder is the class prior alone, which is chosen where the layer is not
    predictive of the label: rounding and the smoothing of the prior then decide it. Such an example counts as not
    encoded.

    Args:
        versions: activations by name, originals among them: `(n, features)` each, of the same examples.
        labels: `(n,)` integers.
        groups: `(n,)` integers, equal where examples depend on each other; they are held out together.
        examples_seed: seed of folds and permutations.
        permutations: number of permuted label sets, at least 0.

    Raises:
        ValueError: bad shapes, types or values, or fewer than `fitted_decoders.DECODABLE` distinct examples.

    Source: Ethayarajh, Choi & Swayamdipta (2022), arXiv:2110.08420, Section 2 and Eq. 4 (pointwise V-information),
    in nats, with class frequencies in place of a model of the label without input.
    """
    labels = labels.cpu()
    decoded = fitted_decoders(
        versions[ORIGINAL], labels, groups=groups, examples_seed=examples_seed, permutations=permutations
    )
    sets = label_sets(labels, groups, permutations, examples_seed)
    found = {
        name: [_of_each_example(one, name, activations, own) for one, own in zip(decoded, sets, strict=True)]
        for name, activations in versions.items()
    }
    return PointwiseLayer(
        {name: parts[0] for name, parts in found.items()},
        {name: parts[1:] for name, parts in found.items()},
        decoded[0].undersampled,
    )


def _of_each_example(decoded: DecodedInformation, name: str, activations: Tensor, labels: Tensor) -> Pointwise:
    held_out: HeldOutInformation = decoded if name == ORIGINAL else decoded.transferred(activations, labels)
    informed = torch.zeros(len(labels), dtype=torch.bool)
    for decoder, rows in zip(decoded.decoders, decoded.held_out, strict=True):
        informed[rows] = decoder.family != ""
    return Pointwise(held_out.terms, informed & (held_out.terms > 0))
