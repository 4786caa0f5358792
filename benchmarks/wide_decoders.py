"""Time decoders of a wide layer: in the span of its examples, and in its features, in turn and in one process.

    OMP_NUM_THREADS=1 python benchmarks/wide_decoders.py [--samples 2000] [--features 16384] [--permutations 5]

The layer has ten classes in noise of a falling spectrum, as a convolution has. Prints the processor time of each way,
their ratio, and the largest difference of a decoded value, in nats.
"""

import argparse
import time
from unittest import mock

import torch

from infoplane.estimators import principal_axes
from infoplane.estimators.decoding import decode_label_sets
from infoplane.estimators.nulls import label_permutations

CLASSES, REPETITIONS = 10, 2


def layer(samples: int, features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return activations and labels."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(samples) % CLASSES
    directions = 300
    spectrum = torch.arange(1, directions + 1).float().rsqrt()
    hidden = torch.randn(samples, directions, generator=generator) * spectrum
    hidden[:, :CLASSES] += 0.5 * torch.randn(CLASSES, CLASSES, generator=generator)[labels]
    mixing = torch.randn(directions, features, generator=generator) / directions**0.5
    return (hidden @ mixing + 0.05 * torch.randn(samples, features, generator=generator)).relu(), labels


def decoded(activations: torch.Tensor, label_sets: list[torch.Tensor], steps: int) -> tuple[float, list[float]]:
    """Return the processor time, and the value of each set of labels; 0 steps mean that the span never pays."""
    generators = [torch.Generator().manual_seed(1) for _ in label_sets]
    with mock.patch.object(principal_axes, "_STEPS", steps):
        begun = time.process_time()
        found = decode_label_sets(activations, label_sets, generators=generators)
        return time.process_time() - begun, [one.value for one in found]


def main() -> None:
    """Print times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--features", type=int, default=16_384)
    parser.add_argument("--permutations", type=int, default=5)
    given = parser.parse_args()
    activations, labels = layer(given.samples, given.features)
    permuted = label_permutations(labels, given.permutations, generator=torch.Generator().manual_seed(2))
    label_sets = [labels, *permuted]
    ways = {"in the features": 0, "in the span": 10_000}
    seconds, values = dict.fromkeys(ways, float("inf")), {}
    for _ in range(REPETITIONS):
        for name, steps in ways.items():
            taken, values[name] = decoded(activations, label_sets, steps)
            seconds[name] = min(seconds[name], taken)
    for name, taken in seconds.items():
        print(f"{name:16} {taken:7.2f} s, the label {values[name][0]:.4f} nats")
    first, second = ways
    difference = max(abs(one - other) for one, other in zip(values[first], values[second], strict=True))
    print(f"ratio {seconds[first] / seconds[second]:.2f}; values differ by at most {difference:.5f} nats")


if __name__ == "__main__":
    main()
