"""Records with known answers: curves are given, and every group of examples strays from them by a known amount."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from infoplane.records.tables import (
    DECODED,
    INPUT_INFORMATION,
    KDE_BD,
    LABEL_INFORMATION,
    MEASUREMENT_SCHEMA,
    RELATIVE_NOISE,
    Performance,
    performance_table,
)

GROUPS = 20
LAYERS = ("conv1", "fc1", "fc2")
EPOCHS = tuple(range(11))
RELATIVE = f"{KDE_BD}@{RELATIVE_NOISE}"
ERROR = 0.01  # nats, of every value
NOISE_SHARES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)  # of the total variance, that the last epoch is swept over


def strays(*key: object) -> np.ndarray:
    """20 means that average to 0 and whose standard error is `ERROR`; the same for the same key."""
    generator = np.random.default_rng(zlib.crc32(repr(key).encode()))
    drawn = generator.standard_normal(GROUPS)
    drawn -= drawn.mean()
    return ERROR * np.sqrt(GROUPS) * drawn / drawn.std(ddof=1)


def measurement(value: float, *, quantity: str, estimator: str | None = None, **facts: object) -> dict[str, Any]:
    """One record, columns by name, whose groups stray independently of those of any other."""
    estimator = estimator or (RELATIVE if quantity == INPUT_INFORMATION else DECODED)
    name, _, noise = estimator.partition("@")
    common = {
        "study": "information-flow", "seed": 0, "training": "normal", "epoch": 0, "split": "test",
        "examples": "original", "layer_index": 0, "layer": "conv1",
    }  # fmt: skip
    common |= facts
    own = {
        "ceiling_nats": np.log(1000) if quantity == INPUT_INFORMATION else np.log(10),
        "saturated": False,
        "standard_error": ERROR,
        "group_means": (value + strays(estimator, quantity, sorted(map(str, common.items())))).tolist(),
        "noise_mode": noise or ("fixed" if name.startswith("kde") else None),
    }
    rest = {"estimator": name, "kind": "estimate", "quantity": quantity, "value_nats": value}
    return {**own, **common, **rest, "samples": 1000, "features": 4}


Rule = Callable[..., float]


def flow(
    rule: Rule,
    *,
    seeds: Sequence[int] = (0,),
    trainings: Sequence[str] = ("normal", "adversarial"),
    examples: Sequence[str] = ("original", "adversarial"),
    layers: Sequence[str] = LAYERS,
    epochs: Sequence[int] = EPOCHS,
    quantities: Sequence[str] = (INPUT_INFORMATION, LABEL_INFORMATION),
    estimators: Sequence[str | None] = (None,),
    **facts: object,
) -> pl.DataFrame:
    """Measurements of study one; `rule(seed=, training=, examples=, layer=, epoch=, quantity=)` gives the values."""
    rows = []
    for seed in seeds:
        for training in trainings:
            for kind in examples:
                for index, layer in enumerate(layers):
                    for epoch in epochs:
                        for quantity in quantities:
                            place = {"seed": seed, "training": training, "examples": kind, "epoch": epoch}
                            value = rule(**place, layer=index, quantity=quantity)
                            rows += [
                                measurement(
                                    value, **place, layer_index=index, layer=layer, quantity=quantity,
                                    estimator=estimator, **facts,
                                )
                                for estimator in estimators
                            ]  # fmt: skip
    return pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)


def swept(table: pl.DataFrame, change: Callable[..., float] = lambda **_: 0.0) -> pl.DataFrame:
    """The records with a noise sweep of I(X;T) at the last epoch, `change(share=, training=, layer=)` nats off."""
    last = table.filter(
        pl.col("epoch") == pl.col("epoch").max().over("seed", "training"),
        pl.col("noise_mode") == RELATIVE_NOISE,
        pl.col("estimator") == KDE_BD,
        pl.col("quantity") == INPUT_INFORMATION,
    )
    rows = []
    for row in last.iter_rows(named=True):
        for share in NOISE_SHARES:
            by = change(share=share, training=row["training"], layer=row["layer_index"])
            moved = {"value_nats": row["value_nats"] + by, "group_means": [mean + by for mean in row["group_means"]]}
            rows.append({**row, **moved, "noise_mode": "sweep", "noise_ratio": share * row["features"]})
    return pl.concat([table, pl.DataFrame(rows, schema=MEASUREMENT_SCHEMA)])


def exact(table: pl.DataFrame) -> pl.DataFrame:
    """The same records without errors over examples: every group has the value of all."""
    groups = [[value] * GROUPS for value in table["value_nats"]]
    return table.with_columns(group_means=pl.Series(groups, dtype=pl.List(pl.Float64())))


def accuracies(
    rule: Rule,
    *,
    distortion: str,
    levels: Sequence[float],
    seeds: Sequence[int] = (0,),
    trainings: Sequence[str] = ("normal", "adversarial"),
    attacks: Sequence[str] = ("adversarial",),
    n: int = 1000,
) -> pl.DataFrame:
    """Performance under a distortion; `rule(seed=, training=, examples=, level=)` gives the accuracies."""
    return performance_table(
        Performance(
            study="distortion", seed=seed, training=training, epoch=10, split="test", examples=examples,
            distortion=distortion, level=level, n=n, loss=1.0, gradient_evaluations=0, seconds=0.0,
            accuracy=rule(seed=seed, training=training, examples=examples, level=level),
        )
        for seed in seeds
        for training in trainings
        for examples in ("original", *attacks)
        for level in levels
    )  # fmt: skip
