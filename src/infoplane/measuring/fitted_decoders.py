"""Fit the decoders of one layer, with the same folds and permutations for every layer, epoch and version."""

import torch
from torch import Tensor

from infoplane.estimators import DecodedInformation, label_permutations
from infoplane.estimators.decoding import decode_label_sets
from infoplane.randomness import seeded_generator

DECODABLE = 10  # least number of examples: two for each fold of the decoders


def fitted_decoders(
    activations: Tensor, labels: Tensor, *, examples_seed: int, permutations: int
) -> list[DecodedInformation]:
    """Fit decoders to the labels, then to `permutations` permuted ones.

    Args:
        activations: `(samples, features)`, at least `DECODABLE` samples.
        labels: `(samples,)` integers.
        examples_seed: seed of folds and permutations.
        permutations: number of permuted label sets, at least 0.
    """
    sets = label_sets(labels, permutations, examples_seed)
    return decode_label_sets(activations, sets, generators=[seeded_generator(examples_seed, "decoder") for _ in sets])


def label_sets(labels: Tensor, permutations: int, examples_seed: int) -> list[Tensor]:
    """Return the labels, then `permutations` permuted ones."""
    permuting: torch.Generator = seeded_generator(examples_seed, "permutations")
    return [labels, *label_permutations(labels, permutations, generator=permuting)]
