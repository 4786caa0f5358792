"""I(X;T) from more inputs than the measured examples: it needs no labels, so images of any split can serve."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from infoplane.estimators import noisy_information
from infoplane.measuring import in_memory
from infoplane.measuring.noise import Noise
from infoplane.measuring.to_records import record
from infoplane.randomness import seeded_generator
from infoplane.records.tables import ALL_SPLITS, NOISY, ORIGINAL, RELATIVE_NOISE, Measurement


def relative_noises(rows: Iterable[Measurement]) -> dict[str, Noise]:
    """Return the relative noise at which each layer was measured on original examples, by layer."""
    return {
        row.layer: Noise(RELATIVE_NOISE, row.noise_variance, row.noise_ratio)
        for row in rows
        if (row.examples, row.estimator, row.noise_mode) == (ORIGINAL, NOISY, RELATIVE_NOISE) and row.noise_variance
    }


def input_rows(
    layers: Iterable[tuple[str, Tensor]],
    noises: Mapping[str, Noise],
    places: Mapping[str, int],
    facts: Mapping[str, Any],
    *,
    examples_seed: int,
) -> Iterator[tuple[int, Measurement]]:
    """Yield the index of each layer and the Monte Carlo estimate of its I(X;T), at the noise of the measured examples.

    At the same noise, more inputs give the same value where the examples resolve it, and more where they do not. Layers
    whose outputs for all inputs do not fit into memory (`in_memory.IN_MEMORY`) are left out.

    Args:
        layers: names and outputs for all inputs, `(n, features)`.
        noises: by layer; others are left out.
        places: index of each layer.
        facts: the first columns of the records.
        examples_seed: seed of the draws.
    """
    for layer, activations in layers:
        if layer not in noises or activations.numel() > in_memory.IN_MEMORY:
            continue
        found = noisy_information(
            activations,
            torch.zeros(len(activations), dtype=torch.long),
            noise_variance=noises[layer].variance,
            generator=seeded_generator(examples_seed, "permutations"),
        )
        samples, features = activations.shape
        own = {"layer": layer, "layer_index": places[layer], "samples": samples, "features": features}
        own |= {"split": ALL_SPLITS, "examples": ORIGINAL, **noises[layer].columns()}
        yield places[layer], record(Measurement, found.input, {**facts, **own})
