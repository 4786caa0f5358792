"""Find the files of weights in a folder, and read from their names after which epoch each was written."""

import re
from collections.abc import Sequence
from pathlib import Path

from infoplane.errors import UserError
from infoplane.models.weights_file import SUFFIXES

_EPOCH = re.compile(r"(?<![a-z])ep(?:och)?[-_=. ]?(\d+)(?!\.?\d)", flags=re.IGNORECASE)
_LARGEST = 10**9  # epochs; larger numbers in names are times
_DATE = re.compile(r"(?<!\d)(?:19|20)\d\d([-_]?)[01]\d\1[0-3]\d(?!\d)")  # 20241101, 2024-11-01
_NUMBER = re.compile(r"\d+(?:\.\d+)*")  # a decimal number is one number, and no epoch
_SEPARATORS = "-_=. "
# Before an epoch: "ckpt5", "model-12". Any other word names something else: "resnet18", "acc91".
_OF_CHECKPOINTS = ("checkpoint", "ckpt", "chkpt", "cp", "e", "ep", "epoch", "epochs", "model", "net", "network",
                   "params", "state", "weights")  # fmt: skip
_OF_OTHERS = ("acc", "accuracy", "batch", "bs", "depth", "dim", "fold", "it", "iter", "iteration", "k", "loss", "lr",
              "n", "run", "s", "seed", "size", "step", "steps", "top", "v", "val", "version", "width")  # fmt: skip
_SHOWN = 12  # names in a message


def checkpoints_in(folder: Path, epochs: Sequence[int] = ()) -> dict[int, Path]:
    """Return the files of weights in a folder by their epochs, ascending.

    The epoch is the number after "epoch" in a file's name; or else the only number in it that stands alone or after a
    word like "checkpoint" or "model"; or else, of several such numbers, the only number that differs between all names.
    Numbers after any other word may be a hyperparameter or the rank of a process. Dates and numbers with a decimal
    point are no epochs.

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
    numbers = [list(_NUMBER.finditer(path.stem)) for path in files]
    differing = _differing(files, numbers)
    found = []
    for path, own in zip(files, numbers, strict=True):
        stem = path.stem
        known = [one for one in own if not _is_other(stem, one)]
        if len(named := _EPOCH.findall(_DATE.sub("", stem))) == 1:
            found.append(int(named[0]))
        elif differing is not None:
            found.append(int(own[differing][0]))
        elif len(known) == 1 and _is_usual(stem, known[0]):
            found.append(int(known[0][0]))
        else:
            shown = ", ".join(one[0] for one in own)
            what = f"{'several numbers' if len(own) > 1 else 'a number'} ({shown})" if own else "no number"
            unclear = "" if not own else ", of which none is clearly an epoch" if len(own) > 1 else " that may be none"
            raise UserError(f"{path} has {what} in its name{unclear}, so its epoch is not known; {_advice(files)}")
    return found


def _differing(files: Sequence[Path], numbers: Sequence[Sequence[re.Match[str]]]) -> int | None:
    """Return the place, among the numbers of each name, of the only whole number that differs.

    None if there is no such number, or if it does not follow a word that checkpoints are called by.
    """
    if len(files) < 2 or len({_NUMBER.sub("#", path.stem) for path in files}) > 1:
        return None
    columns = list(zip(*numbers, strict=True))
    places = [
        place
        for place, column in enumerate(columns)
        if len({one[0] for one in column}) > 1 and not all("." in one[0] for one in column)
    ]
    if len(places) != 1:
        return None
    differing = [(path.stem, one) for path, one in zip(files, columns[places[0]], strict=True)]
    clear = all(_is_usual(stem, one) and not _is_other(stem, one) for stem, one in differing)
    return places[0] if clear else None


def _is_usual(stem: str, number: re.Match[str]) -> bool:
    """Return whether a number follows a word that checkpoints are called by, or is the whole name."""
    name, _ = _word_before(stem, number)
    return name in _OF_CHECKPOINTS or stem.strip(_SEPARATORS) == number[0]


def _is_other(stem: str, number: re.Match[str]) -> bool:
    """Return whether a number cannot be an epoch: a decimal one, part of a word or of a date, or named otherwise."""
    name, separated = _word_before(stem, number)
    if any(date.start() <= number.start() < date.end() for date in _DATE.finditer(stem)):
        return True
    if "." in number[0] or stem[number.end() : number.end() + 1].isalpha():
        return True
    before = stem[: number.start()].rstrip(_SEPARATORS).lower().removesuffix(name)[-1:]
    power = bool(name) and before.isdigit()  # 1e-3
    return power or name in _OF_OTHERS or (bool(name) and not separated and name not in _OF_CHECKPOINTS)


def _word_before(stem: str, number: re.Match[str]) -> tuple[str, bool]:
    """Return the word before a number, in lower case, and whether anything separates the two; "" without a word."""
    before = stem[: number.start()].lower()
    word = re.search(r"[^\W\d_]*$", before.rstrip(_SEPARATORS))
    return (word[0] if word else ""), before != before.rstrip(_SEPARATORS)


def _advice(files: Sequence[Path]) -> str:
    typed = f"type --epochs with a number for each file in this order: {_names(files)}"
    return f"name it like epoch_3.pt, move it elsewhere, or {typed}"


def _names(files: Sequence[Path]) -> str:
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{', '.join(path.name for path in files[:_SHOWN])}{more}"
