"""Layers too large to hold: which examples decoders and the Monte Carlo estimate take of them."""

import torch
from torch import Tensor

from infoplane.estimators.features import FeaturePieces
from infoplane.randomness import seeded_generator

IN_MEMORY = 2**27  # numbers; decoders hold them some six times (docs/scaling.md)


def number_of_rows(samples: int, features: int) -> int:
    """Return how many examples decoders and the Monte Carlo estimate take of a layer."""
    return samples if samples * features <= IN_MEMORY else max(1, IN_MEMORY // features)


def sampled_rows(labels: Tensor, features: int, examples_seed: int) -> Tensor | None:
    """Return the examples of a stratified random subset that has at most `IN_MEMORY` activations; None for all.

    The subset depends on the labels, the number of features and the seed alone.

    Args:
        labels: `(samples,)` integers.
        features: number of units of the layer.
        examples_seed: seed of the subset.

    Returns:
        `(n,)` indices in ascending order, with the class proportions of the whole.
    """
    samples, labels = len(labels), labels.cpu()
    number = number_of_rows(samples, features)
    if number == samples:
        return None
    shuffled = torch.randperm(samples, generator=seeded_generator(examples_seed, "subset"))
    by_class = shuffled[torch.argsort(labels[shuffled], stable=True)]
    return by_class[torch.arange(number) * samples // number].sort().values


def rows_of(pieces: FeaturePieces, rows: Tensor | slice) -> Tensor:
    """Return the activations of some examples, `(rows, features)`, read in pieces of features."""
    number = len(range(*rows.indices(pieces.samples))) if isinstance(rows, slice) else len(rows)
    chosen = torch.empty((number, pieces.features), dtype=pieces.dtype, device=pieces.device)
    places = rows if isinstance(rows, slice) else rows.to(pieces.device)
    for columns, piece in pieces.chunks():
        chosen[:, columns] = piece[places]
    return chosen
