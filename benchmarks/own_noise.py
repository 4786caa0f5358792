"""Time a layer at the network's own noise, whose variance differs by example and unit.

    OMP_NUM_THREADS=1 python benchmarks/own_noise.py [--quick]

Processor seconds of one thread at 5,000 examples of 256 units, 10 classes and 40 permutations (quick: 500 examples),
without and with the Bhattacharyya values, and the process' largest memory. M is one float32 `x @ x.T` of
5,000 x 16,384 in the same process, as elsewhere (quick: 1,000 x 2,048).
"""

import resource
import sys
import time
from collections.abc import Callable

import torch

from infoplane.estimators import own_noise_information

PERMUTATIONS, CLASSES, UNITS = 40, 10, 256


def seconds(work: Callable[[], object]) -> float:
    """Return the least processor time of three calls."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return min(taken)


def product_seconds(*, quick: bool) -> float:
    """Return the time of M."""
    square = torch.randn(1000, 2048) if quick else torch.randn(5000, 16_384)
    return seconds(lambda: square @ square.T)


def main(*, quick: bool) -> None:
    """Print a line for each part."""
    samples = 500 if quick else 5000
    generator = torch.Generator().manual_seed(0)
    product = product_seconds(quick=quick)
    means = 0.1 * torch.randn(samples, UNITS, generator=generator)  # near enough to each other that all pairs matter
    variances = 0.5 + torch.rand(samples, UNITS, generator=generator)
    labels = torch.arange(samples) % CLASSES
    for name, spread, lower in (
        ("upper bounds, Monte Carlo, rate", variances, False),
        ("and lower bounds", variances, True),
        ("one variance per unit, all of these", variances[0], True),
    ):
        taken = seconds(
            lambda spread=spread, lower=lower: own_noise_information(
                means,
                spread,
                labels,
                permutations=PERMUTATIONS,
                generator=torch.Generator().manual_seed(0),
                lower=lower,
            )
        )
        print(f"{name:36} {taken:6.2f} s {taken / product:6.2f} M")
    print(f"memory of the process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB at most")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv)
