"""Nearest-neighbour estimators against independent implementations, on identical samples.

None of them is a dependency. In an environment of its own, from the root of the repository:

    python -m venv agreement
    agreement/bin/pip install -c constraints.txt . infomeasure==0.6.3 npeet_plus==0.2.0
    agreement/bin/python benchmarks/agreement.py

prints a table in Markdown: for each value ours, theirs and the difference. Samples are standardised first, because
implementations do this differently or not at all. The values of the other packages are converted to nats and freed of
terms that our definition does not have. The notes below the table name these terms.
"""

import math
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import NamedTuple

import infomeasure
import npeet_plus
import numpy as np
import torch
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.metrics import mutual_info_score

from infoplane.estimators.neighbours import ksg_information, mixed_ksg_information
from infoplane.estimators.ross import ross_information

SAMPLES = 1000
NEIGHBOURS = (3, 5)
PACKAGES = ("infomeasure", "npeet_plus", "scikit-learn", "scipy", "numpy", "torch")
NOTES = """
- **KSG.** All packages use Eq. 8 of Kraskov et al. (2004) in the max-norm. We run infomeasure
  without its noise. npeet_plus and scikit-learn add noise of up to 1e-10, as we do. The noise can
  change the count of a neighbour, which changes the value by 1 / (samples x count) nats. npeet_plus
  also shrinks each radius by 1e-15 instead of excluding its last point.
- **Mixed KSG.** None of the three packages has this estimator, so it is compared with others in two
  special cases.
  - If no two samples share a distance, mixed KSG equals KSG without noise, with ln N in place of
    psi(N). The table adds ln N - psi(N) = {offset:.6f} to the value of infomeasure.
  - If every sample has more than k copies, mixed KSG equals `mutual_info_score` of scikit-learn,
    the sum of n / N ln(n N / (n_x n_y)) over a table, with psi(n) for the ln n of counts. This
    removes some (cells - rows - columns) / (2 N) of the upward bias of the table. Samples in
    smaller cells also count samples in the cells around theirs.
- **Ross.** scikit-learn takes one unit only and replaces negative values by 0. Our estimator does
  not. Our estimator uses at most a tenth of a class as neighbours. The rarest of the uneven classes
  has fewer than 50 samples, so it uses 4 neighbours instead of 5. `micd` of npeet_plus is a
  difference of two entropies with different radii. This is another definition, and its bias does
  not cancel. It is in the table to show the scale of the differences, not for agreement.
"""


class Row(NamedTuple):
    """Our value and that of another package, of the same quantity."""

    estimator: str
    data: str
    neighbours: int
    ours: float
    other: str
    theirs: float


def pairs(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Draw standardised `(samples, units)` pairs by name."""

    def normal(rho: float, units: int = 1) -> tuple[np.ndarray, np.ndarray]:
        x, noise = rng.normal(size=(2, SAMPLES, units))
        return x, rho * x + math.sqrt(1 - rho**2) * noise

    angle, heavy = normal(0.9), rng.standard_t(3, size=(SAMPLES, 1))
    turn = 1.5 * math.pi * (1 + 2 / (1 + np.exp(-angle[0])))
    shift = rng.integers(5, size=(SAMPLES, 1)).astype(float)
    drawn = {
        "normal, rho = 0.5": normal(0.5),
        "normal, rho = 0.9": normal(0.9),
        "3 pairs, rho = 0.6": normal(0.6, units=3),
        "swiss roll": (np.hstack([turn * np.cos(turn), turn * np.sin(turn)]), angle[1]),
        "Student t, 3 dof, + normal": (heavy, heavy + rng.normal(size=heavy.shape)),
        "discrete + uniform": (shift, shift + rng.uniform(0, 2, size=shift.shape)),
    }
    return {name: (_standardised(x), _standardised(y)) for name, (x, y) in drawn.items()}


def labelled(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Draw a standardised `(samples, 1)` layer and labels by name."""
    few, uneven = rng.integers(3, size=SAMPLES), rng.choice(3, size=SAMPLES, p=[0.8, 0.15, 0.05])
    return {
        "3 classes, 1.5 apart": (_standardised(rng.normal(size=SAMPLES) + 1.5 * few)[:, None], few),
        "3 uneven classes, 2 apart": (_standardised(rng.normal(size=SAMPLES) + 2 * uneven)[:, None], uneven),
        "labels independent of the layer": (rng.normal(size=(SAMPLES, 1)), rng.integers(3, size=SAMPLES)),
    }


def compare_ksg(name: str, x: np.ndarray, y: np.ndarray, neighbours: int) -> Iterator[Row]:
    """Compare KSG, and mixed KSG, for one pair of variables."""
    ours = _ours(ksg_information, x, y, neighbours)
    exact = infomeasure.mutual_information(x, y, approach="ksg", k=neighbours, noise_level=0, base="e")
    offset = math.log(SAMPLES) - digamma(SAMPLES)
    if "discrete" not in name:  # there noise breaks ties, differently in each
        yield Row("KSG", name, neighbours, ours, "infomeasure", exact)
        yield Row("KSG", name, neighbours, ours, "npeet_plus", npeet_plus.mi(x, y, k=neighbours, base=math.e))
        if x.shape[1] == y.shape[1] == 1:
            theirs = mutual_info_regression(x, y[:, 0], n_neighbors=neighbours, random_state=0)[0]
            yield Row("KSG", name, neighbours, ours, "scikit-learn", theirs)
    mixed = _ours(mixed_ksg_information, x, y, neighbours)
    yield Row("mixed KSG", name, neighbours, mixed, "infomeasure", exact + offset)


def compare_ross(name: str, x: np.ndarray, labels: np.ndarray, neighbours: int) -> Iterator[Row]:
    """Compare Ross's estimator for one layer of one unit."""
    ours = ross_information(
        torch.from_numpy(x), torch.from_numpy(labels), neighbours=neighbours, reduction="none", generator=_seeded()
    ).value
    theirs = mutual_info_classif(x, labels, n_neighbors=neighbours, random_state=0)[0]
    yield Row("Ross", name, neighbours, ours, "scikit-learn", theirs)
    theirs = npeet_plus.micd(x, labels[:, None], k=neighbours, base=math.e)
    yield Row("Ross", name, neighbours, ours, "npeet_plus.micd", theirs)


def compare_discrete(name: str, x: np.ndarray, labels: np.ndarray, neighbours: int) -> Iterator[Row]:
    """Compare mixed KSG with the sum over the table of two discrete variables, here tertiles and labels."""
    thirds = np.searchsorted(np.quantile(x[:, 0], [1 / 3, 2 / 3]), x[:, 0])
    ours = _ours(mixed_ksg_information, thirds[:, None].astype(float), labels[:, None].astype(float), neighbours)
    yield Row("mixed KSG", f"{name}, in thirds", neighbours, ours, "scikit-learn", mutual_info_score(thirds, labels))


def main() -> None:
    """Print the table."""
    np.random.seed(0)  # noqa: NPY002 - npeet_plus draws its noise from numpy's global generator
    print(f"N = {SAMPLES}; " + ", ".join(f"{package} {version(package)}" for package in PACKAGES) + "; nats.\n")
    print("| estimator | data | k | infoplane | other | value | difference |")
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(2024)
    layers = labelled(rng)
    for compare, data in ((compare_ksg, pairs(rng)), (compare_ross, layers), (compare_discrete, layers)):
        for name, (first, second) in data.items():
            for neighbours in NEIGHBOURS:
                for row in compare(name, first, second, neighbours):
                    print(
                        f"| {row.estimator} | {row.data} | {row.neighbours} | {row.ours:.6f} | {row.other} "
                        f"| {row.theirs:.6f} | {row.ours - row.theirs:+.1e} |"
                    )
    print(NOTES.format(offset=math.log(SAMPLES) - digamma(SAMPLES)), end="")


def _standardised(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _ours(estimate: Callable, x: np.ndarray, y: np.ndarray, neighbours: int) -> float:
    arguments = (torch.from_numpy(part) for part in (x, y))
    return estimate(*arguments, neighbours=neighbours, generator=_seeded()).value


if __name__ == "__main__":
    main()
