"""Read weights from a file of any origin, without running code that the file holds."""

import hashlib
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from infoplane.errors import UserError

_PICKLED = (".pt", ".pth", ".ckpt")
SUFFIXES = (".safetensors", *_PICKLED)  # of files of weights
_LONGEST_HEADER = 100 * 2**20  # of a safetensors file, by its own reader
_DEEPEST = 5  # dicts inside each other
_NESTED = ("state_dict", "model_state_dict", "model", "last")  # the last of a training that also kept its best
_AGAIN = "download it again"
_ZIP, _OLD_FORM = b"PK\x03\x04", b"\x80\x02\x8a\nl\xfc\x9cF\xf9"  # what torch.save writes since 1.6, and before
_NOT_ALLOWED = ("Unsupported global", "unsupported GLOBAL", "Unsupported class", "unrecognized function")


class WeightsFile(NamedTuple):
    """Weights by name, on the CPU, and the checksum of the file."""

    weights: dict[str, Tensor]
    sha256: str


def read_weights(path: Path) -> WeightsFile:
    """Return the weights in a file.

    Args:
        path: a `.safetensors` file; or a `.pt`, `.pth` or `.ckpt` file that `torch.save` wrote, which holds the weights
            by name, or a dict with them as "state_dict", "model_state_dict", "model" or "last". These are read with
            `weights_only=True`, which refuses everything but tensors and plain containers.

    Raises:
        UserError: there is no such file, it is empty, a web page, a Git LFS pointer or truncated, or it holds anything
            else than weights.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"--weights {path} cannot be read ({error.strerror})") from None
    _check_is_no_other_file(path, content)
    if path.suffix == ".safetensors":
        weights = _safetensors(path, content)
    elif path.suffix in _PICKLED:
        weights = _named_tensors(path, _unpickled(path, content))
    else:
        raise UserError(f"--weights {path} must end in .safetensors, {', '.join(_PICKLED[:-1])} or {_PICKLED[-1]}")
    return WeightsFile(weights, hashlib.sha256(content).hexdigest())


def _check_is_no_other_file(path: Path, content: bytes) -> None:
    """Refuse what a failed download leaves in place of weights."""
    start = content[:200].lstrip().lower()
    if not content:
        raise UserError(f"--weights {path} is empty: {_AGAIN}")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise UserError(f"--weights {path} is a web page, not weights: download the file itself, not the page about it")
    if start.startswith(b"version https://git-lfs"):
        raise UserError(f"--weights {path} is a Git LFS pointer, not the weights: fetch them with git lfs pull")


def _safetensors(path: Path, content: bytes) -> dict[str, Tensor]:
    length = int.from_bytes(content[:8], "little")
    if len(content) < 8 or length > _LONGEST_HEADER:
        raise UserError(f"--weights {path} is no safetensors file: it does not begin with the length of a header")
    if len(content) < 8 + length:
        raise _truncated(path, len(content), None)
    try:
        header = json.loads(content[8 : 8 + length])
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
        if len(content) < whole:
            raise _truncated(path, len(content), whole)
        weights = safetensors.torch.load(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, safetensors.SafetensorError) as error:
        raise UserError(f"--weights {path} is no safetensors file ({_reason(error)})") from None
    if any(name.startswith(".") for name in weights):
        raise UserError(
            f"--weights {path} is a checkpoint of an infoplane run: name the folder of the run instead: infoplane "
            "evaluate RUN"
        )
    return _named_tensors(path, weights)


def _unpickled(path: Path, content: bytes) -> object:
    if content.startswith(_ZIP) and not zipfile.is_zipfile(io.BytesIO(content)):  # the list of parts is at the end
        raise _truncated(path, len(content), None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about forms of files; what matters is raised
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file can raise anything
        reason = str(error)
        if any(words in reason for words in _NOT_ALLOWED):
            _, _, named = reason.partition("GLOBAL ")
            names = f" (it names {named.split()[0]})" if named else ""
            raise UserError(
                f"--weights {path} holds more than tensors{names}, and reading it could run code, so it is refused; "
                "save the weights alone: torch.save(model.state_dict(), path)"
            ) from None
        if content.startswith(_OLD_FORM):  # has no list of parts, so a missing end shows as any error
            raise _truncated(path, len(content), None) from None
        raise UserError(f"--weights {path} is no file of torch.save ({type(error).__name__})") from None


def _named_tensors(path: Path, found: object) -> dict[str, Tensor]:
    """Return the tensors of the innermost dict of weights."""
    for _ in range(_DEEPEST):  # a dict can hold itself
        if not isinstance(found, Mapping):
            break
        found = next((found[key] for key in _NESTED if isinstance(found.get(key), Mapping)), found)
    if not isinstance(found, Mapping):
        raise UserError(f"--weights {path} holds {type(found).__name__}, not weights by name")
    weights = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if not weights:
        held = ", ".join(map(str, list(found)[:5])) or "nothing"
        raise UserError(f"--weights {path} holds no weights by name; it has {held}")
    return weights


def _truncated(path: Path, size: int, whole: int | None) -> UserError:
    of = "" if whole is None else f" of {whole:,}"
    return UserError(f"--weights {path} is truncated, it ends after {size:,}{of} bytes: {_AGAIN}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
