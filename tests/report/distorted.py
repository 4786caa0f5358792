"""A run folder with study two in it, from formulas."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    FIXED_NOISE,
    INPUT_INFORMATION,
    KDE_BD,
    LABEL_INFORMATION,
    MIXTURE,
    NOISY,
    POPULATION,
    RELATIVE_NOISE,
    Measurement,
    Performance,
    geometry_table,
    measurement_table,
    performance_table,
)
from infoplane.runs.folder import RunFolder

SEED, EPOCH, SAMPLES = 3, 10, 400
LEVELS = {"saturation": [2.0, 8.0, 1024.0], "shuffling": [1.0, 2.0, 4.0, 7.0], "high-pass": [math.inf, 4.0, 0.5]}
LAYERS = ("fc2", "fc3")
INPUT_CEILING, LABEL_CEILING = math.log(SAMPLES), math.log(10)
# quantity, estimator, noise mode, whether it has a null
ESTIMATES = (
    (INPUT_INFORMATION, KDE_BD, FIXED_NOISE, False),
    (INPUT_INFORMATION, KDE_BD, RELATIVE_NOISE, False),
    (INPUT_INFORMATION, NOISY, FIXED_NOISE, False),
    (LABEL_INFORMATION, KDE_BD, FIXED_NOISE, True),
    (LABEL_INFORMATION, DECODED, None, False),
    (LABEL_INFORMATION, DECODED_TRANSFER, None, True),
    (INPUT_INFORMATION, NOISY, RELATIVE_NOISE, False),
)
_LESS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.15)


def accuracy(training: str, distortion: str, rank: int, examples: str) -> float:
    """Falls along shuffling under adversarial training, along the others under normal training."""
    steep = (distortion == "shuffling") == (training == "adversarial")
    return (0.9 if examples == "original" else 0.5) - (0.1 if steep else 0.04) * rank


def value(training: str, distortion: str, rank: int, examples: str, place: int, layer: int) -> float:
    """In nats; decoders of originals are confidently wrong on the last level."""
    quantity, estimator, _, _ = ESTIMATES[place]
    share = (0.9 - _LESS[place] - 0.1 * rank - (0.05 if examples != "original" else 0) - 0.2 * layer) * 0.8
    if estimator == DECODED_TRANSFER and rank == len(LEVELS[distortion]) - 1:
        share = -2.0
    if training == "normal":
        share *= 0.9
    return share * (INPUT_CEILING if quantity == INPUT_INFORMATION else LABEL_CEILING)


def null(training: str, examples: str) -> float:
    return (0.2 if training == "normal" else 0.3) + (0.05 if examples == "adversarial" else 0)


def conditions(distortion: str) -> list[tuple[int, float, str]]:
    return [
        (rank, level, examples)
        for rank, level in enumerate(LEVELS[distortion])
        for examples in ("original", "adversarial")
    ]


def write_distortions(run: RunFolder) -> RunFolder:
    """Add study two, of two trainings, to a run."""
    for training in ("normal", "adversarial"):
        for name in LEVELS:
            _write(run, training, name)
    return run


def _write(run: RunFolder, training: str, name: str) -> None:
    measured, performed = [], []
    for rank, level, examples in reversed(conditions(name)):  # as levels that were added later may lie
        facts: dict[str, Any] = {
            "study": "distortion", "seed": SEED, "training": training, "epoch": EPOCH, "split": "test",
            "examples": examples, "distortion": name, "level": level,
        }  # fmt: skip
        performed.append(
            Performance(
                **facts, accuracy=accuracy(training, name, rank, examples), loss=0.1 + rank, n=SAMPLES,
                gradient_evaluations=7, seconds=1.0,
            )
        )  # fmt: skip
        for layer, layer_name in enumerate(LAYERS):
            for place, (quantity, estimator, mode, has_null) in enumerate(ESTIMATES):
                if layer_name != LAYERS[-1] and estimator in (NOISY, DECODED):
                    continue
                nats = value(training, name, rank, examples, place, layer)
                measured.append(
                    Measurement(
                        **facts, layer_index=layer, layer=layer_name, estimator=estimator, kind="estimate",
                        distribution=POPULATION if estimator in (DECODED, DECODED_TRANSFER) else MIXTURE,
                        quantity=quantity, value_nats=nats, standard_error=0.05, interval_low=nats - 0.098,
                        interval_high=nats + 0.098, saturated=False, samples=SAMPLES, features=10, noise_mode=mode,
                        ceiling_nats=INPUT_CEILING if quantity == INPUT_INFORMATION else LABEL_CEILING,
                        null_quantile95_nats=null(training, examples) if has_null else None,
                    )
                )  # fmt: skip
    run.write_records(
        "distortion",
        SEED,
        training,
        EPOCH,
        name,
        measurements=measurement_table(measured),
        geometry=geometry_table([]),
        performance=performance_table(performed),
    )
    keys = [f"{examples}/{level:g}" for _, level, examples in conditions(name)]
    images = {key: torch.full((2, 1, 5, 5), 20 * place, dtype=torch.uint8) for place, key in enumerate(keys)}
    predicted = {key: [1, 0 if training == "normal" else 1] for key in keys}
    facts = {"class_names": ["zero", "<b>$one"], "labels": [0, 1], "predicted": predicted}
    run.write_examples("distortion", SEED, training, name, images, facts)


def distorted_run(make_run: Callable[..., RunFolder], path: Path) -> RunFolder:
    """A run of study one at its last epoch, with study two."""
    return write_distortions(make_run(path, epochs=(EPOCH,)))
