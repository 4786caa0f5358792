"""How often verdicts on the claims are wrong, and which effects are found, with 2, 3 and 5 seeds: docs/validity.md.

    python benchmarks/verdicts.py RESULTS.jsonl [--claims 1 2 3a 3b 4 5 6] [--seeds 2 3 5] [--sets 200] [--seconds 200]
    python benchmarks/verdicts.py RESULTS.jsonl --table          # Markdown, from what is there

Each set is a run drawn from a model of which the truth is known, in the form of records. In a null set no verdict is
right. There are two kinds: "nothing", where no part of the claim is true or false, and "all but one", where all parts
are clearly true but for one, about which nothing is true; "supported" is most often wrong there. The other sets have an
effect of the given size. A line for each case is appended to RESULTS.jsonl; cases that are there are not computed
again, and no new case is begun after --seconds, so that the work can be done in pieces.

The models: trainings differ by seed with a standard deviation of `SPREAD` in levels (nats) and slopes, of 10 % in
speed; curves jitter from epoch to epoch; errors over examples are `ERROR`, the same for all seeds. There are three
layers.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from infoplane.findings.claim import AtHand
from infoplane.findings.claims import CLAIMS
from infoplane.findings.curves import read_curves
from infoplane.findings.finding import SUPPORTED, UNDECIDED
from infoplane.findings.noise_range import read_profiles
from infoplane.findings.plan import Plan
from infoplane.findings.verdict import claim_verdict
from infoplane.records.sweeps import SweepMeasurement, sweep_table
from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    LABEL_INFORMATION,
    MEASUREMENT_SCHEMA,
    MISTAKEN_INFORMATION,
    Performance,
    performance_table,
)

SPREAD, ERROR, GROUPS = 0.1, 0.01, 20
EPOCHS = np.array([0, 1, 2, 3, 4, 6, 8, 12, 18, 28, 45, 70])
LAYERS = ("conv", "fc1", "fc2")
BOTH = ("normal", "adversarial")
SHARES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
LEVELS = {"saturation": (2.0, 8.0, 16.0, 64.0, 1024.0), "shuffling": (1.0, 2.0, 4.0, 8.0)}
ESTIMATOR = {INPUT_INFORMATION: KDE_BD, LABEL_INFORMATION: DECODED}
QUANTITIES = (INPUT_INFORMATION, LABEL_INFORMATION)
Generator = np.random.Generator
Tables = tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame | None]


class Records:
    """Measurements in the making; errors over examples are the same for every seed, epoch and level."""

    def __init__(self, generator: Generator) -> None:
        self._generator, self._rows, self._errors = generator, [], {}

    def add(self, value: float, *, quantity: str, estimator: str, **facts: Any) -> None:
        same = {"seed", "epoch", "level", "distortion", "noise_ratio"}
        key = (quantity, estimator, *(str(fact) for name, fact in facts.items() if name not in same))
        if key not in self._errors:
            self._errors[key] = ERROR * np.sqrt(GROUPS) * self._generator.standard_normal(GROUPS)
        error = self._errors[key]
        noise = {"noise_mode": facts.pop("noise_mode", "relative")} if estimator == KDE_BD else {}
        self._rows.append(
            {
                "study": "simulated", "split": "test", "kind": "estimate", "distribution": "population",
                "saturated": False, "samples": 5000, "features": 100, "standard_error": ERROR,
                "ceiling_nats": np.log(5000) if quantity == INPUT_INFORMATION else np.log(10),
                "quantity": quantity, "estimator": estimator, "value_nats": value + error.mean(),
                "group_means": (value + error).tolist(), **noise, **facts,
            }
        )  # fmt: skip

    def table(self) -> pl.DataFrame:
        return pl.DataFrame(self._rows, schema=MEASUREMENT_SCHEMA)


Curve = Callable[..., np.ndarray]


def curves(
    generator: Generator, seeds: int, curve: Curve, *, attacked: bool = False, swept: bool = False
) -> pl.DataFrame:
    """Records of study one: `curve(seed=, training=, examples=, layer=, quantity=)` over `EPOCHS`."""
    records = Records(generator)
    for seed in range(seeds):
        for training in BOTH:
            for examples in ("original", "adversarial") if attacked else ("original",):
                for layer, name in enumerate(LAYERS):
                    for quantity in QUANTITIES:
                        values = curve(seed=seed, training=training, examples=examples, layer=layer, quantity=quantity)
                        estimator = ESTIMATOR[quantity]
                        if examples == "adversarial" and quantity == LABEL_INFORMATION:
                            estimator = DECODED_TRANSFER
                        facts = {
                            "seed": seed,
                            "training": training,
                            "examples": examples,
                            "layer_index": layer,
                            "layer": name,
                        }
                        for epoch, value in zip(EPOCHS.tolist(), values.tolist(), strict=True):
                            records.add(value, quantity=quantity, estimator=estimator, epoch=epoch, **facts)
                        if swept and quantity == INPUT_INFORMATION:
                            for share in SHARES:
                                records.add(
                                    float(values[-1]), quantity=quantity, estimator=estimator, epoch=int(EPOCHS[-1]),
                                    noise_mode="sweep", noise_ratio=100 * share, **facts,
                                )  # fmt: skip
    return records.table()


def rising(level: float, speed: float) -> np.ndarray:
    return 1 + level * (1 - np.exp(-EPOCHS / speed))


def trends(generator: Generator, seeds: int, shared: float) -> Tables:
    """Claim 1. `shared`: correlation of the jitter of the two curves; trends and levels are those of the seed."""

    def both() -> tuple[np.ndarray, np.ndarray]:
        trend = rising(2 + SPREAD * generator.standard_normal(), 4 * np.exp(0.1 * generator.standard_normal()))
        first, second = 0.1 * generator.standard_normal((2, len(EPOCHS)))
        return trend + first, trend + shared * first + np.sqrt(1 - shared**2) * second

    drawn: dict[Any, tuple[np.ndarray, np.ndarray]] = {}

    def curve(*, seed: int, training: str, examples: str, layer: int, quantity: str) -> np.ndarray:
        key = (seed, training, layer, quantity)
        if key not in drawn:
            drawn[key] = both()
        return drawn[key][examples == "adversarial"]

    return curves(generator, seeds, curve, attacked=True), performance_table([]), None


def lags(generator: Generator, seeds: int, gap: float, *, null_part: bool = False) -> Tables:
    """Claim 2. `gap`: of the final levels, in spreads between seeds; adversarial training is slower in proportion.

    `null_part`: the final I(X;T) has no gap.
    """
    drawn: dict[Any, tuple[float, float]] = {}

    def curve(*, seed: int, training: str, quantity: str, **_: Any) -> np.ndarray:
        key = (seed, training, quantity)
        if key not in drawn:
            drawn[key] = SPREAD * generator.standard_normal(), 0.1 * generator.standard_normal()
        level, speed = drawn[key]
        less = gap * SPREAD if training == "adversarial" and not (null_part and quantity == INPUT_INFORMATION) else 0.0
        slower = 1 + 0.2 * gap if training == "adversarial" else 1.0
        return rising(2 + level - less, 2 * np.exp(speed) * slower)

    return curves(generator, seeds, curve, swept=True), performance_table([]), None


def falls(generator: Generator, seeds: int, fall: float, *, jitter: float = 0.03, plateau: bool = False) -> Tables:
    """Claim 3a. `fall`: of I(X;T) after epoch 8, as a share of the range; `jitter` likewise.

    Without a fall, curves rise to the end, or to a `plateau`.
    """

    def curve(*, quantity: str, **_: Any) -> np.ndarray:
        if quantity == LABEL_INFORMATION:
            return 1.5 * (1 - np.exp(-EPOCHS / 4))
        level = 2 * np.exp(0.1 * generator.standard_normal())
        rise = np.log1p(EPOCHS) / np.log1p(8)
        shape = np.where(EPOCHS <= 8, rise, 1 - fall * (EPOCHS - 8) / 62)
        if fall == 0 and not plateau:
            shape = np.log1p(EPOCHS) / np.log1p(70)
        return 1 + level * (shape + jitter * generator.standard_normal(len(EPOCHS)))

    return curves(generator, seeds, curve), performance_table([]), None


def depths(generator: Generator, seeds: int, rise: float) -> Tables:
    """Claim 3b. `rise`: from the first layer to the second in both trainings, in spreads between seeds."""

    def curve(*, layer: int, **_: Any) -> np.ndarray:
        return np.full(len(EPOCHS), 3 + rise * SPREAD * (layer >= 1) + SPREAD * generator.standard_normal())

    return curves(generator, seeds, curve, swept=True), performance_table([]), None


def slopes(generator: Generator, seeds: int, contrast: float, *, null_part: bool = False) -> Tables:
    """Claim 4. `contrast`: interaction of the slopes and contrast of adversarial training, in spreads between seeds.

    `null_part`: there is no interaction in I(X;T) of original examples.
    """
    records, performance = Records(generator), []
    for seed in range(seeds):
        for training in BOTH:
            for examples in ("original", "adversarial"):
                for quantity in ("accuracy", *QUANTITIES):
                    for distortion, levels in LEVELS.items():
                        slope = -0.5 + SPREAD * generator.standard_normal()
                        no = null_part and (examples, quantity) == ("original", INPUT_INFORMATION)
                        if training == "adversarial" and distortion == "shuffling" and not no:
                            slope -= contrast * SPREAD
                        for level in levels:
                            strength = np.log(level / levels[0]) / np.log(levels[-1] / levels[0])
                            share = 1 + slope * strength
                            if quantity == "accuracy":
                                accuracy = float(generator.binomial(5000, min(max(0.1 + 0.8 * share, 0.0), 1.0)) / 5000)
                                performance.append(_performance(seed, training, examples, distortion, level, accuracy))
                                continue
                            transfer = examples == "adversarial" and quantity == LABEL_INFORMATION
                            records.add(
                                2 * share, quantity=quantity, seed=seed, training=training, examples=examples,
                                estimator=DECODED_TRANSFER if transfer else ESTIMATOR[quantity],
                                distortion=distortion, level=level, epoch=70, layer_index=2, layer="fc2",
                            )  # fmt: skip
    return records.table(), performance_table(performance), None


def _performance(
    seed: int, training: str, examples: str, distortion: str, level: float, accuracy: float
) -> Performance:
    return Performance(
        study="simulated", seed=seed, training=training, epoch=70, split="test", examples=examples,
        distortion=distortion, level=level, accuracy=accuracy, loss=1.0, n=5000, gradient_evaluations=0, seconds=0.0,
    )  # fmt: skip


def textures(generator: Generator, seeds: int, effect: float, *, null_part: bool = False) -> Tables:
    """Claim 5. `effect`: gain of accuracy in spreads of .05, and information beyond the controls in spreads of .1 nats.

    `null_part`: there is no information beyond misclassified originals.
    """
    records, performance = Records(generator), []
    for seed in range(seeds):
        own = 0.05 * generator.standard_normal()
        for examples in ("original", "adversarial", "random"):
            for level in LEVELS["saturation"]:
                change = 0.05 * generator.standard_normal() if level > 2 else 0.0
                gain = 0.05 * effect if examples == "adversarial" and level > 2 else 0.0
                share = float(np.clip(0.4 + own + change + gain, 0, 1))
                accuracy = float(generator.binomial(5000, share) / 5000)
                performance.append(_performance(seed, "normal", examples, "saturation", level, accuracy))
            for layer, name in enumerate(LAYERS):
                more = effect * SPREAD * (examples == "adversarial")
                if null_part:
                    more = effect * SPREAD * (examples != "random")
                value = 1 + more + SPREAD * generator.standard_normal()
                facts = {"seed": seed, "training": "normal", "examples": examples, "epoch": 70}
                for quantity, estimator in ((MISTAKEN_INFORMATION, DECODED_TRANSFER), (LABEL_INFORMATION, DECODED)):
                    records.add(value, quantity=quantity, estimator=estimator, layer_index=layer, layer=name, **facts)
    return records.table(), performance_table(performance), None


def geometries(generator: Generator, replicates: int, effect: float) -> Tables:
    """Claim 6. `effect`: change from each step of a sweep to the next, in spreads between replicates of .05 nats."""
    signs = {
        ("spread", INPUT_INFORMATION): 1, ("tightness", LABEL_INFORMATION): 1,
        ("noise-variance", INPUT_INFORMATION): -1, ("bin-width", INPUT_INFORMATION): -1,
    }  # fmt: skip
    rows = [
        SweepMeasurement(
            sweep=sweep, x=float(step), replicate=replicate, estimator="noisy", kind="estimate", quantity=quantity,
            samples=1000, features=2, classes=4,
            value_nats=1 + 0.05 * (sign * effect * step + generator.standard_normal()),
        )
        for (sweep, quantity), sign in signs.items()
        for step in range(6)
        for replicate in range(replicates)
    ]  # fmt: skip
    return pl.DataFrame(schema=MEASUREMENT_SCHEMA), performance_table([]), sweep_table(rows)


Model = Callable[[Generator, int], Tables]
# By claim: what the set is, whether a verdict is wrong in it, and how it is drawn.
CASES: dict[str, dict[str, tuple[bool, Model]]] = {
    "1": {
        "independent jitter on one trend": (True, lambda g, s: trends(g, s, 0.0)),
        **{f"jitter correlates by {r:g}": (False, lambda g, s, r=r: trends(g, s, r)) for r in (0.7, 0.9, 0.98)},
    },
    "2": {
        "nothing": (True, lambda g, s: lags(g, s, 0.0)),
        "all but one": (True, lambda g, s: lags(g, s, 10.0, null_part=True)),
        **{f"gap of {k:g} spreads": (False, lambda g, s, k=k: lags(g, s, k)) for k in (2.0, 4.0, 8.0, 16.0)},
    },
    "3a": {
        "nothing: a fall of 5 %": (True, lambda g, s: falls(g, s, 0.05)),
        **{f"no fall, jitter {j:.0%}": (False, lambda g, s, j=j: falls(g, s, 0.0, jitter=j)) for j in (0.03, 0.05)},
        "a plateau, jitter 3%": (False, lambda g, s: falls(g, s, 0.0, plateau=True)),
        **{f"fall of {f:.0%}": (False, lambda g, s, f=f: falls(g, s, f)) for f in (0.1, 0.2, 0.4)},
    },
    "3b": {
        "nothing": (True, lambda g, s: depths(g, s, 0.0)),
        **{f"rise of {k:g} spreads": (False, lambda g, s, k=k: depths(g, s, k)) for k in (4.0, 8.0, 16.0)},
    },
    "4": {
        "nothing": (True, lambda g, s: slopes(g, s, 0.0)),
        "all but one": (True, lambda g, s: slopes(g, s, 12.0, null_part=True)),
        **{f"contrast of {k:g} spreads": (False, lambda g, s, k=k: slopes(g, s, k)) for k in (2.0, 4.0, 8.0)},
    },
    "5": {
        "nothing": (True, lambda g, s: textures(g, s, 0.0)),
        "all but one": (True, lambda g, s: textures(g, s, 10.0, null_part=True)),
        **{f"effect of {k:g} spreads": (False, lambda g, s, k=k: textures(g, s, k)) for k in (2.0, 4.0, 8.0)},
    },
    "6": {
        "nothing": (True, lambda g, s: geometries(g, s, 0.0)),
        **{f"steps of {k:g} spreads": (False, lambda g, s, k=k: geometries(g, s, k)) for k in (1.0, 2.0, 4.0)},
    },
}  # fmt: skip


def verdict(claim: str, tables: Tables) -> str:
    """Judge one claim on simulated records."""
    (found,) = [one for one in CLAIMS if one.number == claim]
    measurements, performance, sweeps = tables
    at_hand = AtHand(
        curves=read_curves(measurements), measurements=measurements, performance=performance, sweeps=sweeps,
        adversarial="adversarial", plan=Plan(70, 60), profiles=read_profiles(measurements),
    )  # fmt: skip
    return claim_verdict(found, found.statements(at_hand)).verdict


def cases(claims: list[str], seeds: list[int]) -> Iterator[tuple[str, str, int]]:
    """Yield the null sets of all claims first."""
    for null in (True, False):
        for claim in claims:
            for name, (is_null, _) in CASES[claim].items():
                if is_null == null:
                    yield from ((claim, name, number) for number in seeds)


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def compute(path: Path, claims: list[str], seeds: list[int], sets: int, seconds: float) -> None:
    """Append a line for each case that is not there."""
    known = {(one["claim"], one["case"], one["seeds"]) for one in read(path)}
    end = time.monotonic() + seconds
    for claim, name, number in cases(claims, seeds):
        if (claim, name, number) in known or time.monotonic() > end:
            continue
        null, model = CASES[claim][name]
        counted: Counter[str] = Counter()
        done = 0
        while done < (sets if null else sets // 4) and time.monotonic() < end + 25:
            generator = np.random.default_rng([done, number, *map(ord, claim + name)])
            counted[verdict(claim, model(generator, number))] += 1
            done += 1
        if done < (sets if null else sets // 4):
            return
        line = {"claim": claim, "case": name, "null": null, "seeds": number, "sets": done, **counted}
        with path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def tabled(path: Path) -> str:
    """Return false verdicts in null sets, and the share of sets in which an effect is found, as Markdown."""
    lines = read(path)
    seeds = sorted({one["seeds"] for one in lines})
    heads = " | ".join(f"{number} seeds" for number in seeds)
    rule = "|---|---|" + "--:|" * len(seeds)
    parts = [f"| claim | null set | {heads} |\n{rule}"]
    for null in (True, False):
        if not null:
            parts.append(f"\n| claim | effect | {heads} |\n{rule}")
        for claim, own in CASES.items():
            for name, (is_null, _) in own.items():
                found = {one["seeds"]: one for one in lines if (one["claim"], one["case"]) == (claim, name)}
                if is_null == null and found:
                    cells = [_cell(found.get(number), null=null) for number in seeds]
                    parts.append(f"| {claim} | {name} | {' | '.join(cells)} |")
    return "\n".join(parts)


def _cell(one: dict[str, Any] | None, *, null: bool) -> str:
    if one is None:
        return "-"
    counts = {name: one.get(name, 0) for name in (SUPPORTED, "contradicted", UNDECIDED)}
    if null:
        return f"{one['sets'] - counts[UNDECIDED]} of {one['sets']}"
    return f"{counts[SUPPORTED] / one['sets']:.0%} / {counts['contradicted'] / one['sets']:.0%}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("--claims", nargs="+", default=list(CASES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[2, 3, 5])
    parser.add_argument("--sets", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if given.table:
        print(tabled(given.results))
    else:
        compute(given.results, given.claims, given.seeds, given.sets, given.seconds)
