"""Estimate the information in activations that a user saved to a file."""

import io
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import numpy as np
import polars as pl
import torch
from torch import Tensor

from infoplane.checks import check_labels
from infoplane.config import MeasurementConfig
from infoplane.errors import UserError
from infoplane.estimators.distinct_rows import copies
from infoplane.estimators.features import FeaturePieces, feature_pieces, row_identities
from infoplane.measuring.in_memory import IN_MEMORY, rows_of
from infoplane.measuring.layer import LayerFacts, measure_layer
from infoplane.measuring.layer_outputs import LayerOutputs, due, stratified_groups
from infoplane.randomness import seeded_generator
from infoplane.records.tables import ORIGINAL, measurement_table
from infoplane.studies.mapped_activations import mapped_activations

if TYPE_CHECKING:  # some builds of torch have no process groups
    from torch.distributed import ProcessGroup

NAMES = ("activations", "labels")  # names of the arrays in a file


def read_activations(path: Path, labels_path: Path | None = None) -> tuple[Tensor | FeaturePieces, Tensor]:
    """Read `activations`, `(samples, ...)` floats, and `labels`, `(samples,)` integers.

    Further dimensions of the activations are flattened. Arrays may have any byte order. Labels may be integers of any
    type, or floats without a fraction.

    Args:
        path: .npz or .safetensors with both arrays, which are read whole; or .npy, or a folder of .npy files, with the
            activations alone, which stay on disk.
        labels_path: .npy with the labels, for activations alone.

    Returns:
        The activations, in pieces if they stay on disk, and the labels.

    Raises:
        UserError: the file is missing, damaged, of another type, or lacks one of the arrays; or the arrays are not
            numbers, are complex, or have labels that are not integers.
    """
    if _activations_alone(path):
        if labels_path is None:
            raise UserError(f"{path} holds activations alone; name the file of their labels: --labels LABELS.npy")
        return mapped_activations(path, labels_path), _as_integers(_read_labels(labels_path), labels_path)
    if labels_path is not None:
        raise UserError(f"--labels {labels_path}: {path} must hold its own labels; leave --labels out, or save .npy")
    arrays = _read_arrays(path)
    activations, labels = (_tensor(arrays[name], f"{path}: {name}") for name in NAMES)
    if activations.ndim < 2:
        raise UserError(f"{path}: activations must have shape (samples, features), got {tuple(activations.shape)}")
    if not activations.is_floating_point():
        # float32 is exact for integers up to 2**24, float64 up to 2**53.
        activations = activations.double()
        if bool((activations.abs() <= 2**24).all()):
            activations = activations.float()
    return activations.flatten(start_dim=1), _as_integers(labels, path)


def _activations_alone(path: Path) -> bool:
    try:
        return path.suffix.lower() == ".npy" or path.is_dir()
    except OSError:  # reported where it is read
        return False


def _read_labels(path: Path) -> Tensor:
    try:
        return _tensor(np.load(io.BytesIO(path.read_bytes()), allow_pickle=False), f"{path}: labels")
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"--labels {path} cannot be read ({error}); give a .npy file") from None


def _tensor(array: Any, name: str) -> Tensor:
    if isinstance(array, np.ndarray):
        array = array.astype(array.dtype.newbyteorder("="), copy=False)  # torch cannot read other byte orders
    try:
        tensor = torch.as_tensor(array)
    except (TypeError, ValueError):
        found = getattr(array, "dtype", type(array).__name__)
        raise UserError(f"{name} must be an array of numbers, got {found}") from None
    if tensor.is_complex():
        raise UserError(f"{name} are complex numbers ({tensor.dtype}); give real and imaginary parts as two features")
    return tensor


def _as_integers(labels: Tensor, path: Path) -> Tensor:
    """Return labels as int64; numpy users often keep class indices as floats."""
    if labels.is_floating_point():
        if not bool((labels.isfinite() & (labels == labels.round()) & (labels.abs() < 2**53)).all()):
            raise UserError(f"{path}: labels must be integers, found fractions, NaN, infinity or numbers above 2**53")
        return labels.long()
    if labels.dtype == torch.uint64 and bool((labels.long() < 0).any()):
        raise UserError(f"{path}: labels must lie below 2**63")
    return labels if labels.dtype == torch.bool else labels.long()


def _read_arrays(path: Path) -> dict[str, Any]:
    """Read and return the two arrays; other arrays are not read."""
    try:
        is_file = path.is_file()
    except OSError as error:  # a name that is not valid in any file system
        raise UserError(f"{str(path)[:60]} ... cannot be a file: {error.strerror}") from None
    if not is_file:
        raise UserError(f"{path} does not exist or is no file; give a .npz, .safetensors or .npy file")
    try:
        match path.suffix.lower():
            case ".npz":
                # if numpy cannot read a file, it leaves it open
                with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
                    _check_names(archive.files, path)
                    return {name: archive[name] for name in NAMES}
            case ".safetensors":
                from safetensors.torch import load

                tensors = load(path.read_bytes())
                _check_names(tensors, path)
                return {name: tensors[name] for name in NAMES}
            case suffix:
                raise UserError(f"{path}: {suffix or 'no suffix'} is not supported; save .npz, .safetensors or .npy")
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - both readers raise many types for damaged files
        raise UserError(f"{path} cannot be read ({error}); save it again") from None


def _check_names(found: Iterable[str], path: Path) -> None:
    if missing := [name for name in NAMES if name not in found]:
        raise UserError(f"{path} lacks {' and '.join(missing)}; it holds {', '.join(sorted(found)) or 'nothing'}")


def estimate_activations(
    activations: Tensor | FeaturePieces,
    labels: Tensor,
    settings: MeasurementConfig,
    *,
    seed: int,
    group: Optional["ProcessGroup"] = None,
    device: str = "cpu",
    storage_bytes: int | None = None,
) -> pl.DataFrame:
    """Return all measurements of one layer, columns as in `records.MEASUREMENT_SCHEMA`, in nats.

    Args:
        activations: `(samples, features)`, or the same in pieces.
        labels: `(samples,)` integers.
        settings: noise, bins and permutations.
        seed: of permutations, folds, noise and subset.
        group: processes that measure together, each called with the same arguments; all get the same table.
        device: to compute on.
        storage_bytes: how much the products of all pairs of samples may take, as of `FeaturePieces`.

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
    if isinstance(activations, Tensor):
        activations = activations.to(device)
        pieces = feature_pieces(activations)
    else:
        activations = pieces = replace(activations, device=torch.device(device))
        if pieces.samples * pieces.features <= IN_MEMORY:
            activations = rows_of(pieces, slice(None))
    check_labels(labels, pieces.samples)
    outputs = LayerOutputs(
        versions={ORIGINAL: activations},
        labels=labels,
        groups=stratified_groups(labels, seeded_generator(seed, "groups")),
        settings=settings,
        due=due(thorough=True, final=True),
        examples_seed=seed,
        copies=copies(row_identities(pieces), labels),
        group=group,
        storage_bytes=storage_bytes,
    )
    return measurement_table(measure_layer(outputs, facts).measurements)
