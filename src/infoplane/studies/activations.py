"""Estimators on activations that a user recorded, from a file."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from infoplane.checks import check_activations, check_labels
from infoplane.config import MeasurementConfig
from infoplane.errors import UserError
from infoplane.randomness import seeded_generator
from infoplane.records import measurement_table
from infoplane.studies.decoders import ORIGINAL
from infoplane.studies.layer import LayerFacts, measure_layer, stratified_groups


def read_activations(path: Path) -> tuple[Tensor, Tensor]:
    """Read `activations`, `(samples, ...)` floats, and `labels`, `(samples,)` integers, from .npz or .safetensors.

    Further dimensions of the activations are flattened.

    Raises:
        UserError: the file is missing, of another kind, damaged, or lacks one of the two.
    """
    arrays = _read_arrays(path)
    if missing := [name for name in ("activations", "labels") if name not in arrays]:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise UserError(f"{path} lacks {' and '.join(missing)}; it holds {found}")
    try:
        activations, labels = (torch.as_tensor(arrays[name]) for name in ("activations", "labels"))
    except TypeError as error:
        raise UserError(f"{path}: activations and labels must be arrays of numbers ({error})") from None
    if labels.is_floating_point() and bool((labels == labels.round()).all()):
        labels = labels.long()  # numpy users often keep class indices as floats
    if activations.ndim < 2:
        raise UserError(f"{path}: activations must have shape (samples, features), got {tuple(activations.shape)}")
    if not activations.is_floating_point():
        activations = activations.float()
    return activations.flatten(start_dim=1), labels


def _read_arrays(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path} does not exist or is no file; give a .npz or .safetensors file")
    try:
        match path.suffix:
            case ".npz":
                # numpy leaves a file open that it cannot read
                with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
                    return {name: archive[name] for name in archive.files}
            case ".safetensors":
                from safetensors.torch import load

                return load(path.read_bytes())
            case suffix:
                raise UserError(f"{path}: {suffix or 'no suffix'} is not supported; save .npz or .safetensors")
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - both readers raise a zoo of types for damaged files
        raise UserError(f"{path} cannot be read ({error}); save it again") from None


def estimate_activations(
    activations: Tensor, labels: Tensor, settings: MeasurementConfig, *, seed: int
) -> pl.DataFrame:
    """Return all measurements of one layer, columns as in `records.MEASUREMENT_SCHEMA`, in nats.

    Raises:
        ValueError: the activations or labels are not as the estimators need them.
    """
    facts = LayerFacts(
        study="estimate",
        seed=seed,
        training="",
        epoch=0,
        split="",
        layer_index=0,
        layer="activations",
    )
    check_activations(activations)
    check_labels(labels, len(activations))
    groups = stratified_groups(labels, seeded_generator(seed, "groups"))
    versions = {ORIGINAL: activations}
    records = measure_layer(versions, labels, groups, settings, facts, examples_seed=seed, thorough=True, final=True)
    return measurement_table(records.measurements)
