"""Find the files of weights in a folder, and read from their names after which epoch each was written."""

import re
from collections.abc import Sequence
from pathlib import Path

from infoplane.errors import UserError
from infoplane.models.weights_file import SUFFIXES

_EPOCH = re.compile(r"(?<![a-z])ep(?:och)?[-_=. ]?(\d+)", flags=re.IGNORECASE)
_LARGEST = 10**9  # epochs; larger numbers in names are dates
_NUMBER = re.compile(r"\d+")
_SHOWN = 12  # names in a message


def checkpoints_in(folder: Path, epochs: Sequence[int] = ()) -> dict[int, Path]:
    """Return the files of weights in a folder by their epochs, ascending.

    The epoch is the number after "epoch" in a file's name, or else the only number in it, or else the only number that
    differs between all names.

    Args:
        folder: of the files; its subfolders are not searched.
        epochs: of all files, in natural order of their names, which are then not read.

    Raises:
        UserError: there is no such folder or no file of weights in it; a name has no number or several; two files are
            of one epoch; or `epochs` has another length.
    """
    if folder.is_file():
        raise UserError(f"{folder} is a file; name the folder of checkpoints, or use infoplane evaluate --weights FILE")
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder; name the folder of checkpoints")
    files = sorted(
        (path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file() and path.name[0] != "."),
        key=lambda path: natural_order(path.name),
    )
    if not files:
        raise UserError(f"{folder} holds no file of weights ({', '.join(SUFFIXES)})")
    found = _typed(files, epochs) if epochs else _read(files)
    if max(found) > _LARGEST:
        raise UserError(f"{folder}: {max(found)} is no number of epochs; {_advice(files)}")
    by_epoch: dict[int, Path] = {}
    for path, epoch in zip(files, found, strict=True):
        if epoch in by_epoch:
            raise UserError(
                f"{folder}: {by_epoch[epoch].name} and {path.name} are both of epoch {epoch}; {_advice(files)}"
            )
        by_epoch[epoch] = path
    return dict(sorted(by_epoch.items()))


def natural_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key under which "epoch_9" comes before "epoch_10"."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.findall(r"\d+|\D+", name)]


def _typed(files: Sequence[Path], epochs: Sequence[int]) -> list[int]:
    if len(epochs) != len(files):
        raise UserError(f"--epochs has {len(epochs)} numbers, and there are {len(files)} files: {_names(files)}")
    if min(epochs) < 0:
        raise UserError(f"--epochs must not be negative, got {min(epochs)}")
    return list(epochs)


def _read(files: Sequence[Path]) -> list[int]:
    numbers = [_NUMBER.findall(path.stem) for path in files]
    skeletons = {_NUMBER.sub("#", path.stem) for path in files}
    differing: list[int] = []
    if len(skeletons) == 1:
        differing = [place for place, column in enumerate(zip(*numbers, strict=True)) if len(set(column)) > 1]
    found = []
    for path, own in zip(files, numbers, strict=True):
        if (named := _EPOCH.findall(path.stem)) and len(named) == 1:
            found.append(int(named[0]))
        elif len(own) == 1:
            found.append(int(own[0]))
        elif len(differing) == 1:
            found.append(int(own[differing[0]]))
        else:
            what = "no number" if not own else f"several numbers ({', '.join(own)})"
            raise UserError(f"{path} has {what} in its name, so its epoch is not known; {_advice(files)}")
    return found


def _advice(files: Sequence[Path]) -> str:
    return f"move it elsewhere, or type --epochs with a number for each file in this order: {_names(files)}"


def _names(files: Sequence[Path]) -> str:
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{', '.join(path.name for path in files[:_SHOWN])}{more}"
