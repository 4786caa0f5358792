"""How often the 95 % interval of decoded I(T;Y) covers what its decoders find on the population.

    python benchmarks/decoder_coverage.py FILE [--replicates 100] [--seconds 200] [--cases NAME ...]

Appends one line of JSON per replicate to FILE, and prints the table of docs/calibration.md from all lines in it. A call
continues where the last one stopped. The target of an interval is the mean, over the decoders of a result, of their
value on 40,000 fresh examples. Three intervals are compared: from the held-out terms alone, with one pseudo-example
at the decoders' floor added to their variance (the one that the library states), and the empirical Bernstein bound of
each fold (Maurer & Pontil 2009, arXiv:0907.3740, Theorem 4) with a union bound over folds and sides.
"""

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from infoplane.estimators import DecodedInformation, decoded_information
from infoplane.estimators.tasks import labelled_gaussians

Draw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
FRESH, PIECE = 40_000, 5_000
FOLDS = 5


def gaussians(features: int, classes: int, spread: float) -> Draw:
    def draw(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        task = labelled_gaussians(samples, features, spread=spread, classes=classes, generator=generator)
        return task.activations, task.labels

    return draw


def imbalanced(features: int, shares: tuple[float, ...], spread: float) -> Draw:
    def draw(samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = torch.multinomial(torch.tensor(shares), samples, replacement=True, generator=generator)
        points = torch.randn(samples, features, generator=generator)
        points[torch.arange(samples), labels] += spread
        return points, labels

    return draw


CASES: dict[str, tuple[int, Draw]] = {  # number of examples, and how they are drawn
    "two classes, spread 4.1": (300, gaussians(2, 2, 4.1)),
    "two classes, spread 3.9": (1000, gaussians(2, 2, 3.9)),
    "ten classes, spread 4.7": (500, gaussians(10, 10, 4.7)),
    "ten classes, spread 5.5": (2000, gaussians(10, 10, 5.5)),
    "classes of 90, 8 and 2 %, spread 4": (500, imbalanced(10, (0.9, 0.08, 0.02), 4.0)),
    "classes of 97 and 3 %, spread 5": (300, imbalanced(5, (0.97, 0.03), 5.0)),
    "ten classes, D = 1,000, spread 4": (300, gaussians(1000, 10, 4.0)),
    "ten classes, spread 2": (1000, gaussians(16, 10, 2.0)),
}


def bernstein(decoded: DecodedInformation, labels: Tensor) -> tuple[float, float]:
    """Return the interval of the mean over decoders, without the error of H(Y), which would widen it further."""
    log_term = math.log(2 / (0.05 / (2 * FOLDS)))
    frequencies = torch.bincount(labels) / len(labels)
    widths, values = [], []
    for decoder, rows in zip(decoded.decoders, decoded.held_out, strict=True):
        reach = -(math.log(decoder.calibration.ignorance) + decoder.log_prior.min().item())
        losses = -(decoded.influences[rows] + frequencies[labels[rows]].log())
        n = len(rows)
        variance = (losses / reach).var().item()
        widths.append(reach * (math.sqrt(2 * variance * log_term / n) + 7 * log_term / (3 * (n - 1))))
        values.append(decoded.influences[rows].mean().item())
    middle, width = statistics.fmean(values), statistics.fmean(widths)
    return middle - width, middle + width


def replicate(name: str, number: int) -> dict[str, float | str | int]:
    samples, draw = CASES[name]
    generator = torch.Generator().manual_seed(1_000_003 * list(CASES).index(name) + number)
    points, labels = draw(samples, generator)
    decoded = decoded_information(points, labels, generator=generator, folds=FOLDS, shortfall=False)
    known = decoded.decoders[0].classes
    total, count = 0.0, 0
    for _ in range(FRESH // PIECE):
        fresh, own = draw(PIECE, generator)
        kept = torch.isin(own, known)  # a class that no example has is outside the target
        fresh, own = fresh[kept], own[kept]
        values = [decoder.information(fresh, own).value for decoder in decoded.decoders]
        total, count = total + statistics.fmean(values) * len(own), count + len(own)
    target = total / count
    plain = 1.959964 * decoded.influences.std().item() / math.sqrt(samples)
    low, high = bernstein(decoded, torch.searchsorted(known, labels))
    return {
        "case": name,
        "replicate": number,
        "target": target,
        "value": decoded.value,
        "mistakes": round((1 - decoded.accuracy) * samples),
        "terms": abs(decoded.value - target) <= plain,
        "stated": decoded.low <= target <= decoded.high,
        "bernstein": low <= target <= high,
        "terms_width": plain,
        "stated_width": decoded.high - decoded.value,
        "bernstein_width": (high - low) / 2,
    }


def table(rows: list[dict]) -> str:
    lines = [
        "| case | N | mistakes | value | terms alone | stated | Bernstein | n |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, (samples, _) in CASES.items():
        own = [row for row in rows if row["case"] == name]
        if own:
            mean = {key: statistics.fmean(row[key] for row in own) for key in own[0] if key != "case"}
            cells = [f"{mean[key]:.2f}, ±{mean[f'{key}_width']:.3f}" for key in ("terms", "stated", "bernstein")]
            start = f"| {name} | {samples:,} | {mean['mistakes']:.1f} | {mean['value']:.3f} |"
            lines.append(f"{start} {' | '.join(cells)} | {len(own)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.file.read_text().splitlines()] if options.file.exists() else []
    done, end = {(row["case"], row["replicate"]) for row in rows}, time.monotonic() + options.seconds
    with options.file.open("a") as file:
        for number in range(options.replicates):
            for name in options.cases:
                if (name, number) not in done and time.monotonic() < end:
                    rows.append(replicate(name, number))
                    print(json.dumps(rows[-1]), file=file, flush=True)
    print(table(rows))


if __name__ == "__main__":
    main()
