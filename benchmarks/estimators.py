"""Time the estimators against the work they cannot avoid and against the plain way, in one run.

    python benchmarks/estimators.py [--quick]

Prints ratios at 5,000 samples, 16,384 features, 10 classes (quick: 1,000 and 2,048): KDE with everything it returns
against one float32 `x @ x.T`, and against a float32 distance matrix computed again for each bound over all samples
and over each class; binning against sorting whole rows. Times are the best of three, taken in turns.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from infoplane.estimators import binning_information, kde_information

NOISE_VARIANCE, BIN_WIDTH, CLASSES, PERMUTATIONS = 0.1, 0.5, 10, 40


def plain_entropy(points: Tensor, noise_variance: float) -> float:
    """One bound over one set of samples, in the usual few lines of float32."""
    norms = points.square().sum(dim=1)
    squared = norms[:, None] + norms - 2 * points @ points.T
    return -(torch.logsumexp(-squared / (2 * noise_variance), dim=1) - np.log(len(points))).mean().item()


def plain_kde(points: Tensor, labels: Tensor) -> list[tuple[float, float]]:
    """Input and label information at both widths, distances computed each time they are needed."""
    results = []
    for variance in (NOISE_VARIANCE, 4 * NOISE_VARIANCE):
        whole = plain_entropy(points, variance)
        within = sum(
            (labels == label).double().mean().item() * plain_entropy(points[labels == label], variance)
            for label in range(CLASSES)
        )
        results.append((whole, whole - within))
    return results


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(quick: bool) -> None:
    samples, features = (1_000, 2_048) if quick else (5_000, 16_384)
    generator = torch.Generator().manual_seed(0)
    points = 0.3 * torch.randn(samples, features, generator=generator)
    labels = torch.arange(samples) % CLASSES

    def kde(permutations: int) -> object:
        seeded = torch.Generator().manual_seed(0)
        return kde_information(
            points, labels, noise_variance=NOISE_VARIANCE, permutations=permutations, generator=seeded
        )

    works: dict[str, Callable[[], object]] = {
        "x @ x.T": lambda: points @ points.T,
        "kde": lambda: kde(0),
        f"kde, {PERMUTATIONS} permutations": lambda: kde(PERMUTATIONS),
        "kde, the plain way": lambda: plain_kde(points, labels),
        "binning": lambda: binning_information(points, labels, bin_width=BIN_WIDTH),
        "sorting whole rows": lambda: np.unique(np.floor(points.numpy() / BIN_WIDTH), axis=0, return_inverse=True),
    }
    best = dict.fromkeys(works, float("inf"))
    for _ in range(3):
        for name, work in works.items():
            best[name] = min(best[name], seconds(work))

    print(f"{samples} samples, {features} features, {CLASSES} classes, {torch.get_num_threads()} threads")
    for name, value in best.items():
        print(f"  {name:24} {value:8.3f} s")
    product, plain, sorting = (best[name] for name in ("x @ x.T", "kde, the plain way", "sorting whole rows"))
    print(f"kde / product                    {best['kde'] / product:6.2f}   (budget: at most 0.75)")
    print(f"kde with the null / product      {best[f'kde, {PERMUTATIONS} permutations'] / product:6.2f}")
    print(f"plain way / kde                  {plain / best['kde']:6.1f}   (budget: at least 3)")
    print(f"sorting / binning                {sorting / best['binning']:6.1f}   (budget: at least 10)")


if __name__ == "__main__":
    main(quick="--quick" in sys.argv[1:])
