"""Fit the decoders of one layer, with the same folds and permutations for every layer, epoch and version."""

import torch
from torch import Tensor

from infoplane.estimators import DecodedInformation, label_permutations
from infoplane.estimators.convolution import MapShape
from infoplane.estimators.decoder_families import DecoderName
from infoplane.estimators.decoding import decode_label_sets
from infoplane.randomness import seeded_generator

DECODABLE = 10  # least number of examples: two for each fold of the decoders


def fitted_decoders(
    activations: Tensor,
    labels: Tensor,
    *,
    groups: Tensor,
    examples_seed: int,
    permutations: int,
    decoder: DecoderName = "linear",
    map_shape: MapShape | None = None,
) -> list[DecodedInformation]:
    """Fit decoders to the labels, then to `permutations` permuted ones, which have no shortfall.

    Args:
        activations: `(samples, features)`, at least `DECODABLE` samples.
        labels: `(samples,)` integers.
        groups: `(samples,)` integers, equal where examples depend on each other.
        examples_seed: seed of folds and permutations.
        permutations: number of permuted label sets, at least 0.
        decoder, map_shape: as in `decoded_information`.
    """
    sets = label_sets(labels, groups, permutations, examples_seed)
    generators = [seeded_generator(examples_seed, "decoder") for _ in sets]
    return decode_label_sets(
        activations, sets, generators=generators, decoder=decoder, groups=groups, map_shape=map_shape
    )


def label_sets(labels: Tensor, groups: Tensor, permutations: int, examples_seed: int) -> list[Tensor]:
    """Return the labels, then `permutations` permuted ones, in which examples of a group keep their labels together."""
    permuting: torch.Generator = seeded_generator(examples_seed, "permutations")
    return [labels, *label_permutations(labels, permutations, generator=permuting, groups=groups)]
