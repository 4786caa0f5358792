"""How far below log N the Monte Carlo I(X;T) is resolved: bias, coverage and flags on Gaussian channels of known I.

    python benchmarks/resolution.py SAMPLES [--replicates 60] [--below 2.5 3 3.5 4 5]       # Markdown rows

Layers are Gaussian, so that I(X;T) = 1/2 sum ln(1 + l / s2) is exact: five even directions, 400 even ones, and 400 with
a spectrum of 1 / rank. The spectrum is scaled to the I(X;T) asked for, in nats below log N. Columns: value minus truth;
its spread; the stated error; the share of replicates marked undersampled; and the share whose truth is covered by value
+- 1.96 errors, by the interval of `noisy_information`, which also allows for the bias that two halves show, and by the
value extrapolated in 1 / N (Panzeri & Treves 1996), 2 I(N) - I(N / 2), +- 1.96 errors.
"""

import argparse
import math

import torch
from torch import Tensor

from infoplane.estimators import noisy_information

RANK = 1 / torch.arange(1, 401, dtype=torch.double)
SPECTRA = {"5 even": torch.ones(5), "400 even": torch.ones(400), "400 falling": RANK}


def scaled(spectrum: Tensor, information: float) -> Tensor:
    """Return the variances, at noise variance 1, with this I(X;T) in nats: bisection of its logarithm."""
    low, high = 1e-9, 1e9
    for _ in range(200):
        middle = math.sqrt(low * high)
        if torch.log1p(middle * spectrum).sum().item() / 2 > information:
            high = middle
        else:
            low = middle
    return low * spectrum.double()


def row(samples: int, name: str, below: float, replicates: int) -> str:
    """Measure one spectrum at one information."""
    truth = math.log(samples) - below
    deviations = scaled(SPECTRA[name], truth).sqrt()
    errors, stated, flagged, plain, allowed, extrapolated = [], [], 0, 0, 0, 0
    for seed in range(replicates):
        generator = torch.Generator().manual_seed(seed)
        points = torch.randn(samples, len(deviations), generator=generator, dtype=torch.double) * deviations
        found = noisy_information(points, torch.zeros(samples).long(), noise_variance=1.0, generator=generator)
        one = found.input
        errors.append(one.value - truth)
        stated.append(one.error)
        flagged += bool(one.undersampled)
        plain += abs(one.value - truth) < 1.96 * one.error
        allowed += one.low < truth < one.high
        extrapolated += abs(one.value + found.input_shortfall - truth) < 1.96 * one.error
    values = torch.tensor(errors)
    shares = " | ".join(f"{count / replicates:.2f}" for count in (flagged, plain, allowed, extrapolated))
    return (
        f"| {samples} | {name} | {below:g} | {truth:.2f} | {values.mean():+.3f} | {values.std():.3f} | "
        f"{sum(stated) / replicates:.3f} | {shares} | {replicates} |"
    )


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("samples", type=int)
    parser.add_argument("--replicates", type=int, default=60)
    parser.add_argument("--below", type=float, nargs="+", default=(2.5, 3, 3.5, 4, 5))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for below in asked.below:
        for name in SPECTRA:
            if math.log(asked.samples) - below > 0.3:
                print(row(asked.samples, name, below, asked.replicates), flush=True)


if __name__ == "__main__":
    main()
