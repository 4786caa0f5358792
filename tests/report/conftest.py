"""Run folders filled from formulas: clearly synthetic, quick, and with every special case in them."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from infoplane.records import (
    BINNING,
    CLASS_ENTROPY,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    KDE_MIXED,
    LABEL_INFORMATION,
    Measurement,
    Performance,
    measurement_table,
    performance_table,
)
from infoplane.runs import RunFolder

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
SAMPLES = 1000
CLASSES = 10
INPUT_CEILING = math.log(SAMPLES)
LABEL_CEILING = math.log(CLASSES)


def synthetic_measurements(
    training: str,
    epoch: int,
    *,
    layers: Sequence[str] = LAYERS,
    examples: Sequence[str] = ("original", "adversarial"),
    estimators: Sequence[str] = (KDE_KL, KDE_BD, BINNING),
    seed: int = 3,
) -> list[Measurement]:
    """Rising curves; the first layer saturates and stays within its null, binning leaves [0, H(Y)] in the last."""
    rows = []
    lag = 0.5 if training == "normal" else 1.5
    progress = 1 - math.exp(-epoch / (4 * lag))
    for index, layer in enumerate(layers):
        depth = index / max(1, len(layers) - 1)
        for condition in examples:
            attacked = 0.0 if condition == "original" else 0.06
            for rank, estimator in enumerate(estimators):
                share = (1 - 0.7 * depth * (1 - progress) - 0.1 * depth) * (1 - 0.12 * rank) - attacked * depth
                label_share = (0.25 + 0.7 * progress * (0.4 + 0.6 * depth)) * (1 - 0.1 * rank) - 2 * attacked * depth
                null_share = 0.9 - 0.85 * depth
                values = {INPUT_INFORMATION: share * INPUT_CEILING, LABEL_INFORMATION: label_share * LABEL_CEILING}
                if index == len(layers) - 1 and estimator == BINNING and epoch == 0:
                    values[LABEL_INFORMATION] = -0.2
                common = {
                    "study": "flow", "seed": seed, "training": training, "epoch": epoch, "split": "test",
                    "examples": condition, "layer_index": index, "layer": layer, "estimator": estimator,
                    "samples": SAMPLES, "features": 64,
                }  # fmt: skip
                for quantity, value in values.items():
                    ceiling = INPUT_CEILING if quantity == INPUT_INFORMATION else LABEL_CEILING
                    null = null_share * LABEL_CEILING if quantity == LABEL_INFORMATION else None
                    rows.append(
                        Measurement(
                            **common,
                            kind="estimate",
                            quantity=quantity,
                            value_nats=value,
                            standard_error=0.02 + 0.01 * rank,
                            ceiling_nats=ceiling,
                            null_mean_nats=null and 0.95 * null,
                            null_quantile95_nats=null,
                            permutations=20 if null else None,
                            saturated=value > 0.95 * ceiling,
                        )
                    )
                if estimator in (KDE_KL, KDE_BD):
                    for label in range(CLASSES):
                        spread = 0.9 - 0.03 * label
                        rows.append(
                            Measurement(
                                **common,
                                kind="estimate",
                                quantity=CLASS_ENTROPY,
                                class_index=label,
                                value_nats=share * spread * math.log(SAMPLES / CLASSES),
                                ceiling_nats=math.log(SAMPLES / CLASSES),
                                saturated=False,
                            )
                        )
            mixed = {**common, "estimator": KDE_MIXED, "quantity": LABEL_INFORMATION, "saturated": False}
            rows += [
                Measurement(**mixed, kind="lower", value_nats=-0.4 + progress),
                Measurement(**mixed, kind="upper", value_nats=1.2 + progress),
            ]
    return rows


def synthetic_performance(
    training: str, epoch: int, *, examples: Sequence[str] = ("original", "adversarial"), seed: int = 3
) -> list[Performance]:
    """Accuracies that rise with epochs."""
    progress = 1 - math.exp(-epoch / 3)
    curves = [("train", "original", 0.99), ("test", "original", 0.97)]
    if "adversarial" in examples:
        curves.append(("test", "adversarial", 0.05 if training == "normal" else 0.9))
    return [
        Performance(
            study="flow", seed=seed, training=training, epoch=epoch, split=split, examples=condition,
            accuracy=0.1 + (best - 0.1) * progress, loss=float(np.exp(-3 * best * progress)) * 2.3, n=SAMPLES,
            gradient_evaluations=100 * epoch, seconds=1.5 * epoch,
        )
        for split, condition, best in curves
    ]  # fmt: skip


def synthetic_run(
    path: Path,
    *,
    epochs: Sequence[int] = tuple(range(11)),
    trainings: Sequence[str] = ("normal", "adversarial"),
    layers: Sequence[str] = LAYERS,
    examples: Sequence[str] = ("original", "adversarial"),
    estimators: Sequence[str] = (KDE_KL, KDE_BD, BINNING),
    recipe: str = "synthetic",
    seed: int = 3,
) -> RunFolder:
    """Write a run folder whose numbers come from formulas."""
    run = RunFolder(path)
    settings = {
        "recipe": recipe,
        "seed": seed,
        "data": {"name": "formulas"},
        "training": {"epochs": 10},
        "attack": {"epsilon": 0.1},
        "measurement": {"noise_variance": 0.1, "bin_width": 0.5, "permutations": 20},
        "methods": ["normal", "adversarial"],
    }
    run.begin("flow", settings, {"infoplane": "0.1.0", "torch": "synthetic"})
    for training in trainings:
        for epoch in epochs:
            measured = synthetic_measurements(
                training, epoch, layers=layers, examples=examples, estimators=estimators, seed=seed
            )
            performed = synthetic_performance(training, epoch, examples=examples, seed=seed)
            run.write_records("flow", seed, training, epoch, measurement_table(measured), performance_table(performed))
    return run


@pytest.fixture(scope="session")
def make_run() -> Callable[..., RunFolder]:
    """`synthetic_run`, for tests that need a run of their own."""
    return synthetic_run


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two trainings, five layers, three estimators, epochs 0 to 10; only to be read."""
    return synthetic_run(tmp_path_factory.mktemp("run") / "full")
