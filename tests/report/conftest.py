"""Run folders filled from formulas: clearly synthetic, quick, and with every special case in them."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from infoplane.records.tables import (
    BINNING,
    CLASS_ENTROPY,
    DECODED,
    DECODED_TRANSFER,
    FIXED_NOISE,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    KDE_MIXED,
    LABEL_INFORMATION,
    MIXTURE,
    NOISY,
    POPULATION,
    RELATIVE_NOISE,
    SWEPT_NOISE,
    Geometry,
    Measurement,
    Performance,
    geometry_table,
    measurement_table,
    performance_table,
)
from infoplane.runs.folder import RunFolder

LAYERS = ("conv1", "conv2", "fc1", "fc2", "fc3")
SAMPLES = 1000
CLASSES = 10
INPUT_CEILING = math.log(SAMPLES)
LABEL_CEILING = math.log(CLASSES)
NOISE_VARIANCE = 0.1
NOISE_RATIO = 0.2
SWEEP = tuple(10.0**half for half in (-2, -1, 0, 1, 2, 3))
THOROUGH_EPOCHS = (0, 1, 2, 4, 7, 10)
KDE = (KDE_KL, KDE_BD, KDE_MIXED)


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
            attacked = 0.06 * examples.index(condition)
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
                if estimator in KDE:
                    common |= {"noise_mode": FIXED_NOISE, "noise_variance": NOISE_VARIANCE}
                for quantity, value in values.items():
                    ceiling = INPUT_CEILING if quantity == INPUT_INFORMATION else LABEL_CEILING
                    null = null_share * LABEL_CEILING if quantity == LABEL_INFORMATION else None
                    rows.append(
                        Measurement(
                            **common,
                            kind="estimate",
                            quantity=quantity,
                            distribution=MIXTURE,
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
                                distribution=MIXTURE,
                                class_index=label,
                                value_nats=share * spread * math.log(SAMPLES / CLASSES),
                                ceiling_nats=math.log(SAMPLES / CLASSES),
                                saturated=False,
                            )
                        )
            mixed = {**common, "estimator": KDE_MIXED, "quantity": LABEL_INFORMATION, "saturated": False}
            mixed["distribution"] = MIXTURE
            rows += [
                Measurement(**mixed, kind="lower", value_nats=-0.4 + progress),
                Measurement(**mixed, kind="upper", value_nats=1.2 + progress),
            ]
    return rows


def unit_variance(index: int, epoch: int) -> float:
    """Deeper layers are larger, and all grow with training."""
    return 0.05 * 2**index * (1 + epoch)


def synthetic_thorough(
    training: str,
    epoch: int,
    *,
    last: bool,
    layers: Sequence[str] = LAYERS,
    examples: Sequence[str] = ("original", "adversarial"),
    seed: int = 3,
) -> list[Measurement]:
    """Noisy values at both noises, and decoded ones.

    Decoders of originals are confidently wrong in the last layer of a normal training.
    """
    rows = []
    progress = 1 - math.exp(-epoch / (2 if training == "normal" else 6))
    for index, layer in enumerate(layers):
        depth = index / max(1, len(layers) - 1)
        for condition in examples:
            attacked = examples.index(condition)
            common = {
                "study": "flow", "seed": seed, "training": training, "epoch": epoch, "split": "test",
                "examples": condition, "layer_index": index, "layer": layer, "samples": SAMPLES, "features": 64,
            }  # fmt: skip
            noisy = (0.93 - 0.55 * depth * (1 - progress) - 0.05 * attacked) * INPUT_CEILING
            decoded = (0.2 + 0.75 * progress * (0.6 + 0.4 * depth) - 0.1 * attacked) * LABEL_CEILING
            moved = decoded - (0.2 if training == "adversarial" else 2.5 * progress) * (0.3 + depth)
            fixed = {"estimator": NOISY, "noise_mode": FIXED_NOISE, "noise_variance": NOISE_VARIANCE}
            variance = NOISE_RATIO * unit_variance(index, epoch) * (1.3 if attacked else 1)
            relative = {**fixed, "noise_mode": RELATIVE_NOISE, "noise_ratio": NOISE_RATIO, "noise_variance": variance}
            values = [
                ({**fixed, "kind": "estimate", "quantity": INPUT_INFORMATION}, noisy, 0.03, INPUT_CEILING),
                ({**fixed, "kind": "estimate", "quantity": LABEL_INFORMATION}, 0.9 * decoded, 0.02, LABEL_CEILING),
                ({**relative, "kind": "estimate", "quantity": INPUT_INFORMATION}, 0.75 * noisy, 0.04, INPUT_CEILING),
                ({**relative, "kind": "estimate", "quantity": LABEL_INFORMATION}, 0.8 * decoded, 0.02, LABEL_CEILING),
                ({"estimator": DECODED, "kind": "lower", "quantity": LABEL_INFORMATION}, decoded, 0.03, LABEL_CEILING),
            ]
            if attacked:
                transfer = {"estimator": DECODED_TRANSFER, "kind": "lower", "quantity": LABEL_INFORMATION}
                values.append((transfer, moved, 0.08, LABEL_CEILING))
            for facts, value, error, ceiling in values:
                has_null = facts["quantity"] == LABEL_INFORMATION and (facts["estimator"] == NOISY or last)
                null = (1.2 * (1 - depth) if facts["estimator"] == NOISY else 0.02) if has_null else None
                rows.append(
                    Measurement(
                        **common,
                        **facts,
                        value_nats=value,
                        standard_error=error,
                        interval_low=value - 1.96 * error,
                        interval_high=value + 1.96 * error,
                        ceiling_nats=ceiling,
                        null_mean_nats=null and 0.8 * null,
                        null_quantile95_nats=null,
                        permutations=5 if has_null else None,
                        distribution=MIXTURE if facts["estimator"] == NOISY else POPULATION,
                        saturated=facts["estimator"] == NOISY and value > 0.95 * ceiling,
                        undersampled=value > ceiling - 3 if facts["quantity"] == INPUT_INFORMATION else None,
                    )
                )
    return rows


def synthetic_noise(
    training: str,
    epoch: int,
    *,
    last: bool,
    layers: Sequence[str] = LAYERS,
    examples: Sequence[str] = ("original", "adversarial"),
    seed: int = 3,
) -> list[Measurement]:
    """KDE at noise in proportion to the layer, falling with the ratio; swept at the last epoch."""
    rows = []
    ratios = [(RELATIVE_NOISE, NOISE_RATIO)] + [(SWEPT_NOISE, ratio) for ratio in SWEEP if last]
    for index, layer in enumerate(layers):
        for condition in examples:
            variance = unit_variance(index, epoch) * (1.3 if condition != "original" else 1)
            for mode, ratio in ratios:
                for estimator, reach in ((KDE_KL, 64), (KDE_BD, 16)):
                    share = 1 - math.exp(-reach / (1 + ratio) / (8 + 2 * examples.index(condition)))
                    common = {
                        "study": "flow", "seed": seed, "training": training, "epoch": epoch, "split": "test",
                        "examples": condition, "layer_index": index, "layer": layer, "samples": SAMPLES,
                        "features": 64, "estimator": estimator, "noise_mode": mode, "noise_ratio": ratio,
                        "noise_variance": ratio * variance, "standard_error": 0.02,
                    }  # fmt: skip
                    for quantity, ceiling, null in (
                        (INPUT_INFORMATION, INPUT_CEILING, None),
                        (LABEL_INFORMATION, LABEL_CEILING, share**2 * 0.9 * LABEL_CEILING),
                    ):
                        bound = "upper" if estimator == KDE_KL else "lower"
                        rows.append(
                            Measurement(
                                **common,
                                kind=bound if null is None else "estimate",
                                quantity=quantity,
                                distribution=MIXTURE,
                                value_nats=share * ceiling,
                                ceiling_nats=ceiling,
                                null_quantile95_nats=null,
                                saturated=share > 0.95,
                            )
                        )
                mixed = {**common, "estimator": KDE_MIXED, "quantity": LABEL_INFORMATION, "saturated": False}
                mixed["distribution"] = MIXTURE
                rows += [
                    Measurement(**mixed, kind="lower", value_nats=0.3),
                    Measurement(**mixed, kind="upper", value_nats=1.9),
                ]
    return rows


def synthetic_geometry(
    training: str,
    epoch: int,
    *,
    layers: Sequence[str] = LAYERS,
    examples: Sequence[str] = ("original", "adversarial"),
    seed: int = 3,
) -> list[Geometry]:
    """Layers that grow and cluster; attacked examples lie a little farther out, and move with depth."""
    rows = []
    slow = 1 if training == "normal" else 0.6
    for index, layer in enumerate(layers):
        for condition in examples:
            attacked = condition != "original"
            variance = slow * unit_variance(index, epoch) * (1.3 if attacked else 1)
            rows.append(
                Geometry(
                    study="flow",
                    seed=seed,
                    training=training,
                    epoch=epoch,
                    split="test",
                    examples=condition,
                    layer_index=index,
                    layer=layer,
                    samples=SAMPLES,
                    features=64,
                    activation_norm=8 * math.sqrt(variance),
                    mean_unit_variance=variance,
                    participation_ratio=3.0 + index,
                    class_clustering_index=0.1 + 0.08 * index * slow * epoch / 10 - 0.03 * attacked,
                    cka_with_original=1 - 0.15 * index * slow if attacked else None,
                )
            )
    return rows


def synthetic_performance(
    training: str, epoch: int, *, examples: Sequence[str] = ("original", "adversarial"), seed: int = 3
) -> list[Performance]:
    """Accuracies that rise with epochs."""
    progress = 1 - math.exp(-epoch / 3)
    curves = [("train", "original", 0.99), ("test", "original", 0.97)]
    for rank, attack in enumerate(name for name in examples if name != "original"):
        curves.append(("test", attack, (0.05 if training == "normal" else 0.9) + 0.02 * rank))
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
    trusted: bool = True,
) -> RunFolder:
    """Write a run folder whose numbers come from formulas; without `trusted`, the study's own estimators alone."""
    run = RunFolder(path)
    settings = {
        "recipe": recipe,
        "seed": seed,
        "data": {"name": "formulas"},
        "training": {"epochs": 10},
        "attack": {"epsilon": 0.1},
        "measurement": {"noise_variance": NOISE_VARIANCE, "bin_width": 0.5, "permutations": 20},
        "methods": ["normal", "adversarial"],
    }
    run.begin("flow", settings, {"infoplane": "0.1.0", "torch": "synthetic"})
    for training in trainings:
        for epoch in epochs:
            common = {"layers": layers, "examples": examples, "seed": seed}
            measured = synthetic_measurements(training, epoch, estimators=estimators, **common)
            geometry = []
            if trusted:
                last = epoch == max(epochs)
                measured += synthetic_noise(training, epoch, last=last, **common)
                geometry = synthetic_geometry(training, epoch, **common)
                if last or epoch in THOROUGH_EPOCHS:
                    measured += synthetic_thorough(training, epoch, last=last, **common)
            performed = synthetic_performance(training, epoch, examples=examples, seed=seed)
            run.write_records(
                "flow",
                seed,
                training,
                epoch,
                measurements=measurement_table(measured),
                geometry=geometry_table(geometry),
                performance=performance_table(performed),
            )
    return run


@pytest.fixture(scope="session")
def make_run() -> Callable[..., RunFolder]:
    """`synthetic_run`, for tests that need a run of their own."""
    return synthetic_run


@pytest.fixture(scope="session")
def full_run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two trainings, five layers, every estimator, epochs 0 to 10; only to be read."""
    run = synthetic_run(tmp_path_factory.mktemp("run") / "full")
    for table in ("measurements", "geometry", "performance"):
        setattr(run, table, cache(getattr(run, table)))  # read once, not again for every curve that is looked at
    return run
