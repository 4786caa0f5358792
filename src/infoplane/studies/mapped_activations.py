"""Activations in .npy files, alone or as a folder of pieces, read from disk as far as they are needed."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infoplane.errors import UserError
from infoplane.estimators.features import FeaturePieces

EXACT_IN_FLOAT = 2**24  # float32 holds all integers up to it, float64 up to 2**53
Array = NDArray[Any]


def mapped_activations(path: Path, labels: Path) -> FeaturePieces:
    """Open activations, `(samples, ...)` numbers, without reading them: the system pages in what is used.

    Further dimensions are flattened. Integers become floats, which hold them exactly up to 2^53. Values are
    not checked.

    Args:
        path: a .npy file, or a folder of them: the samples of its files, in the order of their names, one after the
            other.
        labels: a file that is no piece, should it lie in the folder.

    Raises:
        UserError: a file is missing, damaged, or not as described; the pieces differ in width or type; or numbers in
            their names have another order than the names.
    """
    files = [path]
    if path.is_dir():
        own = labels.resolve()
        files = [file for file in sorted(path.glob("*.npy")) if file.resolve() != own]
        if not files:
            raise UserError(f"{path} holds no .npy files; save the activations of consecutive samples in them")
        _check_order(files)
    parts = [_opened(file) for file in files]
    first = parts[0]
    for file, part in zip(files, parts, strict=True):
        if part.shape[1] != first.shape[1] or part.dtype != first.dtype:
            raise UserError(
                f"{file} holds {part.shape[1]} features of {part.dtype}, but {files[0]} {first.shape[1]} of "
                f"{first.dtype}; pieces are the same layer of other samples"
            )
    samples, dtype = sum(map(len, parts)), _float_type(parts)
    alone = len(parts) == 1 and first.dtype == dtype

    def read(columns: slice) -> Tensor:
        if alone:
            return torch.from_numpy(first[:, columns])
        piece = np.empty((samples, columns.stop - columns.start), dtype=dtype)
        start = 0
        for part in parts:
            piece[start : start + len(part)] = part[:, columns]
            start += len(part)
        return torch.from_numpy(piece)

    return FeaturePieces(
        read, samples=samples, features=first.shape[1], dtype=torch.from_numpy(np.empty(0, dtype)).dtype
    )


def _check_order(files: Sequence[Path]) -> None:
    """Raise UserError unless numbers in the names, such as 9 and 10, are in the order of the names."""

    def by_numbers(file: Path) -> list[str | int]:
        return [int(part) if number % 2 else part for number, part in enumerate(re.split(r"(\d+)", file.name))]

    for file, expected in zip(files, sorted(files, key=by_numbers), strict=True):
        if file != expected:
            raise UserError(
                f"{file} comes before {expected.name} by name, and after it by number; write the numbers with leading "
                "zeros, so that the samples have one order"
            )


def _opened(file: Path) -> Array:
    """Map one file into memory, `(samples, features)`."""
    try:
        with file.open("rb") as start:
            if start.read(2) == b"PK":  # numpy would leave the file open if it is no whole archive
                raise UserError(f"{file} is an archive of arrays; save one array with numpy.save")
        # "c": nothing is ever written, and torch accepts only arrays that could be
        array: Array = np.load(file, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        raise UserError(f"{file} does not exist; give a .npy file, or a folder of them") from None
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{file} cannot be read ({error}); save it again with numpy.save") from None
    if array.dtype.kind == "c":
        raise UserError(f"{file}: complex numbers ({array.dtype}); give real and imaginary parts as two features")
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise UserError(f"{file} must be an array of numbers of at most 64 bits, got {array.dtype}")
    if array.ndim < 2 or 0 in array.shape:
        raise UserError(
            f"{file}: activations must have shape (samples, features) with at least one of each, got {array.shape}"
        )
    if array.ndim > 2 and not array.flags.c_contiguous:
        raise UserError(
            f"{file} has {array.ndim} dimensions in Fortran order; save it in C order: numpy.ascontiguousarray"
        )
    return array.reshape(len(array), -1)


def _float_type(parts: Sequence[Array]) -> np.dtype[Any]:
    """Return the float type, in the byte order of this machine, that holds all numbers exactly."""
    own = parts[0].dtype
    if own.kind == "f":
        return own.newbyteorder("=")
    small = own.kind == "b" or own.itemsize <= 2 or all(_within(part) for part in parts)
    return np.dtype(np.float32 if small else np.float64)


def _within(part: Array) -> bool:
    step = max(1, 2**24 // part.shape[1])
    rows = (part[start : start + step] for start in range(0, len(part), step))
    return all(int(some.max()) <= EXACT_IN_FLOAT and int(some.min()) >= -EXACT_IN_FLOAT for some in rows)
