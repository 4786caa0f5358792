"""What two slips of the study's earlier code change on the layers of a finished run: float32 distances, empty classes.

    INFOPLANE_DATA=... OMP_NUM_THREADS=1 python benchmarks/released_slips.py RUN [--examples 5000]

The first table is about distances. The earlier code took squared distances in float32 as |a|^2 + |b|^2 - 2 a.b, without
centring. `kde_information` centres, bounds the rounding error, and computes again in float64 where it is too large. For
each network, kind of examples and layer the table gives the largest norm of an output, and in bits I(X;T) and I(T;Y) by
both formulas at the run's fixed noise, with the largest difference of any of them.

The second table is about empty classes. It says how many of 1,000 random draws lack a class. Then it leaves out the
rarest class and takes I(T;Y) twice: with that class at entropy zero and the weight that it has in the data, and with
the weights of the examples at hand, as we do.
"""

import argparse
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor

from infoplane.estimators import kde_information
from infoplane.measuring.evaluate import layer_activations
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.runs.folder import RunFolder
from infoplane.studies.finished import FinishedNetwork, FinishedRun

UPPER, LOWER = 1, 4  # factor of the noise variance: Kullback-Leibler, Bhattacharyya
BITS = 1 / math.log(2)
DRAWS = 1000


def released_information(activations: Tensor, noise_variance: float, factor: int) -> float:
    """Return I(X;T) in nats by the earlier code's formula: squared distances from float32 products, not centred."""
    points = activations.float()
    squares = points.square().sum(dim=1)
    distances = squares[:, None] + squares[None] - 2 * (points @ points.T)
    log_sums = torch.logsumexp(-distances / (2 * factor * noise_variance), dim=1) - math.log(len(points))
    return -log_sums.mean().item()


def released_estimates(
    activations: Tensor, labels: Tensor, noise_variance: float, weights: Mapping[int, float] | None = None
) -> list[float]:
    """Return I(X;T) upper and lower, then I(T;Y) of both kinds, in nats, by the earlier code's formula.

    Args:
        activations: `(samples, features)`.
        labels: `(samples,)` integers.
        noise_variance: in squared activation units.
        weights: of the classes; a class without samples has entropy zero. By default their shares of the samples.
    """
    shares = weights or {int(label): float((labels == label).double().mean()) for label in labels.unique()}
    found, of_label = [], []
    for factor in (UPPER, LOWER):
        whole = released_information(activations, noise_variance, factor)
        within = 0.0
        for label, share in shares.items():
            own = activations[labels == label]
            within += share * (released_information(own, noise_variance, factor) if len(own) else 0.0)
        found.append(whole)
        of_label.append(whole - within)
    return found + of_label


def our_estimates(activations: Tensor, labels: Tensor, noise_variance: float) -> list[float]:
    """Return the same by the library."""
    found = kde_information(activations, labels, noise_variance=noise_variance)
    return [one.value for one in (found.input_upper, found.input_lower, found.label_upper, found.label_lower)]


def outputs(network: FinishedNetwork, number: int) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Yield kind of examples, layer, outputs and labels."""
    with evaluation_mode(network.model):
        for examples, images in network.versions().items():
            for layer, found in layer_activations(network.model, images[:number], network.layers):
                yield examples, layer, found, network.labels[:number]


def without_the_rarest_class(activations: Tensor, labels: Tensor, noise_variance: float) -> list[float]:
    """Return I(T;Y) upper and lower with the rarest class at entropy zero, then by the library without it, in nats."""
    counts = labels.bincount()
    present = counts.nonzero().flatten()
    rarest = int(present[counts[present].argmin()])
    kept = labels != rarest
    weights = {int(label): float(counts[label]) / len(labels) for label in present}
    slipped = released_estimates(activations[kept], labels[kept], noise_variance, weights)
    return slipped[2:] + our_estimates(activations[kept], labels[kept], noise_variance)[2:]


def draws_without_a_class(labels: Tensor, number: int) -> int:
    """Return how many of `DRAWS` random draws of so many examples lack a class."""
    generator, classes = torch.Generator().manual_seed(0), len(labels.unique())
    drawn = (labels[torch.randperm(len(labels), generator=generator)[:number]] for _ in range(DRAWS))
    return sum(len(own.unique()) < classes for own in drawn)


def main(path: Path, number: int) -> None:
    """Print both tables."""
    run = FinishedRun(RunFolder(path))
    noise = run.config.measurement.noise_variance
    print(f"noise variance {noise:g}, {min(number, len(run.labels)):,} examples, bits\n")
    names = ("I(X;T) upper", "I(X;T) lower", "I(T;Y) KL-KL", "I(T;Y) BD-BD")
    print(f"| training | seed | examples | layer | largest norm | {' | '.join(names)} | largest difference |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    second = []
    for network in run:
        for examples, layer, found, labels in outputs(network, number):
            released, ours = (
                [BITS * value for value in take(found, labels, noise)] for take in (released_estimates, our_estimates)
            )
            pairs = " | ".join(f"{a:.4f} / {b:.4f}" for a, b in zip(released, ours, strict=True))
            most = max(abs(a - b) for a, b in zip(released, ours, strict=True))
            norm = found.norm(dim=1).max().item()
            where = f"| {network.training} | {network.seed} | {examples} | {layer} |"
            print(f"{where} {norm:.1f} | {pairs} | {most:.5f} |", flush=True)
            absent = [BITS * value for value in without_the_rarest_class(found, labels, noise)]
            second.append(f"{where} {absent[0]:.3f} / {absent[2]:.3f} | {absent[1]:.3f} / {absent[3]:.3f} |")
    print("\n(the earlier formula / ours)\n")
    labels = run.test.labels.cpu()
    for size in (number, 128, 32):
        print(f"{draws_without_a_class(labels, size)} of {DRAWS:,} random draws of {size:,} test images lack a class")
    print("\nWithout the rarest class, at entropy zero / by ours:\n")
    print("| training | seed | examples | layer | I(T;Y) KL-KL | I(T;Y) BD-BD |\n|---|---|---|---|---|---|")
    print("\n".join(second))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--examples", type=int, default=5000)
    asked = parser.parse_args()
    main(asked.run, asked.examples)
