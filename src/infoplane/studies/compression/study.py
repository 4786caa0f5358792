"""Train and measure the networks of both compression studies; finished networks are kept."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from infoplane.calibration.workers import worker_processes
from infoplane.config import CompressionConfig, QuantisedConfig
from infoplane.errors import UserError
from infoplane.records.compression import (
    RELU,
    TANH,
    CompressionAccuracy,
    CompressionMeasurement,
    accuracy_table,
    compression_table,
)
from infoplane.runs.folder import NETWORKS, RunFolder
from infoplane.runs.parquet import ACCURACIES, COMPRESSION
from infoplane.runs.progress import Progress, Silence
from infoplane.studies.compression.measured import Instruments, Layer, network_rows
from infoplane.studies.compression.training import HIDDEN, Snapshot, Task, initial_networks, train, twelve_bits_task
from infoplane.training.liveness import constant_accuracy

STUDY, QUANTISED_STUDY = "compression", "quantised"
BLOCK = 5  # networks that train side by side: seeds 0 to 4, 5 to 9, ...
_WORK = {"train": 3.0, "measure": 1.0}  # of a network, for the time left

Outputs = NDArray[np.float32]
Config = CompressionConfig | QuantisedConfig


class Records(NamedTuple):
    """Tables of a study."""

    measurements: pl.DataFrame  # `compression.COMPRESSION_SCHEMA`
    accuracies: pl.DataFrame  # `compression.ACCURACY_SCHEMA`


class _Kind(NamedTuple):
    """Networks that differ in their seed alone."""

    activation: str
    bits: int | None

    def file_name(self, seed: int) -> str:
        return "-".join([self.activation, *([f"{self.bits}bits"] if self.bits else []), f"s{seed}"])


class _Trained(NamedTuple):
    """One network, in arrays, which go from process to process."""

    before: list[list[Outputs]]  # per layer and epoch `(4096, units)`
    after: list[list[Outputs]] | None
    accuracies: list[CompressionAccuracy]


def compression_study(
    config: Config, folder: RunFolder, *, jobs: int | None = None, progress: Progress | None = None
) -> Records:
    """Train all networks that `folder` does not hold yet, measure them, and keep each as soon as it is measured.

    Args:
        config: of the study of tanh and ReLU, or of that of quantised networks.
        folder: locked, with the same settings; two tables per network are kept in `networks`.
        jobs: processes of one thread each, by default one per core, at most one per kind of network; the numbers do
            not depend on it. With 1, everything runs in this process.
        progress: shows how far the study is.

    Raises:
        UserError: a file of the folder is damaged, or a process was ended from outside.
        DivergedError: a training diverged.
    """
    progress = progress or Silence()
    seeds = range(config.seed, config.seed + config.seeds)
    widths = config.bits if isinstance(config, QuantisedConfig) else (None,)
    kinds = [_Kind(activation, bits) for bits in widths for activation in (TANH, RELU)]
    place = Path(folder) / NETWORKS
    paths = {
        (kind, seed): [place / f"{kind.file_name(seed)}-{table}.parquet" for table in ("information", "accuracy")]
        for kind in kinds
        for seed in seeds
    }
    missing = {
        kind: left
        for kind in kinds
        if (left := [seed for seed in seeds if not all(path.is_file() for path in paths[kind, seed])])
    }
    networks = sum(map(len, missing.values()))
    if networks < len(paths):
        progress.say(f"{len(paths) - networks} of {len(paths)} networks are here already")
    progress.begin(networks * sum(_WORK.values()))
    jobs = min(jobs or os.cpu_count() or 1, max(len(missing), 1))

    def keep(kind: _Kind, seed: int, tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
        # the table of accuracies last: with it, the network is complete
        for path, table in zip(paths[kind, seed], tables, strict=True):
            folder.write_table(path, table)
        progress.advance(_WORK["measure"])
        last = tables[1].filter(pl.col("epoch") == tables[1]["epoch"].max(), pl.col("split") == "train")
        progress.say(f"{kind.file_name(seed)}: accuracy on training inputs {last['accuracy'][0]:.1%}")

    if jobs == 1:
        for kind, left in missing.items():
            progress.doing(f"{kind.activation}: training {len(left)} networks")
            for seed, trained in train_kind(config, kind, left).items():
                keep(kind, seed, measure_network(config, kind, seed, trained))
    elif missing:
        _in_processes(config, missing, jobs, keep, progress)
    tables = [
        [folder.read_table(path, kind) for path, kind in zip(both, (COMPRESSION, ACCURACIES), strict=True)]
        for both in paths.values()
    ]
    return Records(*(pl.concat(part) for part in zip(*tables, strict=True)))


def _in_processes(config: Config, missing: Mapping[_Kind, list[int]], jobs: int, keep: Any, progress: Progress) -> None:
    try:
        with worker_processes(jobs) as workers:
            training: dict[Future[Any], _Kind] = {
                workers.submit(train_kind, config, kind, left): kind for kind, left in missing.items()
            }
            measuring: dict[Future[Any], tuple[_Kind, int]] = {}
            progress.doing(f"{sum(map(len, missing.values()))} networks in {jobs} processes")
            while training or measuring:
                done, _ = wait([*training, *measuring], return_when=FIRST_COMPLETED)
                for future in done:
                    if future in training:
                        kind = training.pop(future)
                        for seed, trained in future.result().items():
                            measuring[workers.submit(measure_network, config, kind, seed, trained)] = (kind, seed)
                            progress.advance(_WORK["train"])
                    else:
                        keep(*measuring.pop(future), future.result())
    except BrokenProcessPool:
        raise UserError(
            "a process was ended from outside, perhaps for lack of memory; finished networks are kept: repeat the "
            "command with --jobs 1"
        ) from None


def train_kind(config: Config, kind: _Kind, seeds: Sequence[int]) -> dict[int, _Trained]:
    """Train the networks of these seeds, and return each with its outputs at all measured epochs.

    Seeds train in fixed blocks of `BLOCK`, side by side. Rounding differs with the number of networks in a stack, and
    quantised networks amplify it, up to 0.1 bits of I(X;T). In whole blocks, the seeds that are asked for change
    nothing. The other networks of a block cost little and are not kept.

    Raises:
        DivergedError: the training of a network of these blocks diverged.
    """
    task = twelve_bits_task()
    found: dict[int, _Trained] = {}
    for block in sorted({seed // BLOCK for seed in seeds}):
        together = range(block * BLOCK, (block + 1) * BLOCK)
        networks = initial_networks(kind.activation, together, bits=kind.bits)
        snapshots = list(
            train(
                networks,
                together,
                task,
                measured=config.epochs_to_measure(),
                learning_rate=config.learning_rate,
                batch_size=config.batch_size,
            )
        )
        found |= {
            seed: _trained(snapshots, number, kind, seed, task) for number, seed in enumerate(together) if seed in seeds
        }
    return found


def _trained(snapshots: Sequence[Snapshot], number: int, kind: _Kind, seed: int, task: Task) -> _Trained:
    def of_layers(stage: str) -> list[list[Outputs]]:
        return [
            [getattr(one.layers[layer], stage)[number].numpy().copy() for one in snapshots]
            for layer in range(len(HIDDEN))
        ]

    return _Trained(
        of_layers("before"),
        None if kind.bits is None else of_layers("after"),
        [row for one in snapshots for row in _accuracies(one, number, kind, seed, task)],
    )


def _accuracies(snapshot: Snapshot, number: int, kind: _Kind, seed: int, task: Task) -> list[CompressionAccuracy]:
    right = snapshot.predicted[number] == task.labels
    return [
        CompressionAccuracy(
            seed=seed, activation=kind.activation, bits=kind.bits, epoch=snapshot.epoch, split=split,
            accuracy=right[rows].double().mean().item(), constant=constant_accuracy(task.labels[rows], len(rows)),
            n=len(rows),
        )
        for split, rows in (("train", task.train), ("test", task.test))
    ]  # fmt: skip


def measure_network(config: Config, kind: _Kind, seed: int, trained: _Trained) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the tables of one network: information and accuracies."""
    tensors = partial(map, torch.from_numpy)
    layers = [
        Layer(
            f"hidden.{index}", [*tensors(before)], None if trained.after is None else [*tensors(trained.after[index])]
        )
        for index, before in enumerate(trained.before)
    ]
    ratio = config.noise_ratio if isinstance(config, CompressionConfig) else None
    rows: list[CompressionMeasurement] = [
        *network_rows(
            layers,
            config.epochs_to_measure(),
            twelve_bits_task().probabilities,
            Instruments(config.bins, config.noise_variance, ratio),
            {"seed": seed, "activation": kind.activation, "bits": kind.bits},
        )
    ]
    return compression_table(rows), accuracy_table(trained.accuracies)
