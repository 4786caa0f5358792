"""Command `infoplane estimate`: estimate the information in a user's own activations."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import tyro
from pydantic import Field

from infoplane.commands.common import Options, open_console
from infoplane.commands.output import complain
from infoplane.config import MeasurementConfig
from infoplane.distributed.malloc import keep_freed_memory
from infoplane.errors import UserError

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor
    from torch.distributed import ProcessGroup

    from infoplane.estimators.features import FeaturePieces


class EstimateOptions(Options):
    """Estimate the information in activations of your own."""

    file: tyro.conf.Positional[Path]
    """Activations (samples, features) and labels (samples,): .npz or .safetensors with `activations` and `labels`. Or
    activations alone, which are read from disk in pieces: a .npy file, or a folder of them with consecutive samples."""
    labels: Path | None = None
    """.npy with the labels (samples,), for activations in .npy."""
    noise_variance: float = Field(0.1, gt=0)
    """Variance of the Gaussian noise of KDE, in squared activation units."""
    bin_width: float = Field(0.5, gt=0)
    """Width of a bin, in activation units."""
    permutations: int = Field(40, ge=0)
    """Number of label permutations for the null of I(T;Y)."""
    memory: float = Field(0.5, gt=0, allow_inf_nan=False)
    """GiB of each process for the distances of KDE. With more than 11,000 samples, more memory saves time
    (docs/scaling.md); values change by rounding only."""
    workers: int = Field(1, ge=1)
    """Number of processes that share the pairs of samples, and measure with different estimators side by side."""
    engine: Literal["local", "ray"] = "local"
    """Where the workers are: on this machine, or where Ray places them. All must find the files under the same name."""
    address: str | None = None
    """Address of a Ray cluster, e.g. auto; by default Ray is started on this machine."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What each worker computes on; cuda: a GPU of its own."""
    seed: int = Field(0, ge=0)
    """Seed of the permutations."""
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print JSON, in nats, instead of a table in bits."""


def estimate(options: EstimateOptions) -> int:
    """Print the estimates for the activations in a file."""
    if options.address is not None and options.engine != "ray":
        raise UserError("--address is for a cluster of Ray; add --engine ray")
    if options.engine == "ray":
        from infoplane.distributed.ray_cluster import check_ray

        check_ray(options.address)
    elif options.device == "cuda":
        from infoplane.distributed.workers import check_gpus

        check_gpus(options.workers)
    activations, labels = _read(options)
    _say_what_is_sampled(activations, labels, options)
    if options.workers == 1 and options.engine == "local":
        _print(_measured(activations, labels, options), options)
        return 0
    del activations, labels  # each worker reads them
    work = partial(_in_group, options.model_copy(update=_absolute(options)))
    gpus = options.device == "cuda"
    if options.engine == "ray":
        from infoplane.distributed.ray_workers import on_ray_workers

        found = on_ray_workers(work, options.workers, address=options.address, gpus=gpus)
    else:
        from infoplane.distributed.workers import on_local_workers

        found = on_local_workers(work, options.workers, gpus=gpus)
    _print(found, options)
    return 0


def _absolute(options: EstimateOptions) -> dict[str, Path | None]:
    """Return the files by names that other processes understand; links stay, for they may be other links elsewhere."""
    return {"file": options.file.absolute(), "labels": options.labels and options.labels.absolute()}


def _in_group(options: EstimateOptions) -> "pl.DataFrame":
    """Estimate on a process that is a member of the default group."""
    from torch import distributed

    keep_freed_memory()
    return _measured(*_read(options), options, distributed.group.WORLD)


def _read(options: EstimateOptions) -> tuple["Tensor | FeaturePieces", "Tensor"]:
    from infoplane.studies.activations import read_activations

    return read_activations(options.file, options.labels)


def _measured(
    activations: "Tensor | FeaturePieces",
    labels: "Tensor",
    options: EstimateOptions,
    group: Optional["ProcessGroup"] = None,
) -> "pl.DataFrame":
    from infoplane.studies.activations import estimate_activations

    settings = MeasurementConfig(
        noise_variance=options.noise_variance, bin_width=options.bin_width, permutations=options.permutations
    )
    try:
        return estimate_activations(
            activations,
            labels,
            settings,
            seed=options.seed,
            group=group,
            device=options.device,
            storage_bytes=max(1, int(options.memory * 2**29)),  # half of it keeps what the other half computes
        )
    except ValueError as error:
        raise UserError(f"{options.file}: {error}") from error


def _say_what_is_sampled(activations: "Tensor | FeaturePieces", labels: "Tensor", options: EstimateOptions) -> None:
    from infoplane.checks import check_labels
    from infoplane.estimators.features import FeaturePieces
    from infoplane.measuring.in_memory import sampled_rows

    samples, features = (
        (activations.samples, activations.features) if isinstance(activations, FeaturePieces) else activations.shape
    )
    try:
        check_labels(labels, samples)
    except ValueError as error:
        raise UserError(f"{options.labels or options.file}: {error}") from None
    rows = sampled_rows(labels, features, options.seed)
    if rows is not None:
        complain(
            f"decoders and the Monte Carlo estimate take {len(rows):,} of {len(labels):,} samples, drawn at random "
            "with the class proportions of the whole: they hold activations in memory, at most 2^27 numbers. For more "
            "samples, call infoplane.estimators.decoded_information and noisy_information"
        )


def _print(measurements: "pl.DataFrame", options: EstimateOptions) -> None:
    from infoplane.report.estimate import estimate_table

    if options.json_output:
        print(json.dumps({"file": str(options.file), "unit": "nats", "measurements": measurements.to_dicts()}))
    else:
        open_console().print(estimate_table(measurements))
