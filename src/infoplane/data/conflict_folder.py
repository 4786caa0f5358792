"""Read a folder of cue-conflict images, whose file names carry the class of the shape and that of the texture."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from infoplane.data.folder import image_paths, pixels_of
from infoplane.data.images import check_room
from infoplane.errors import UserError
from infoplane.records.short_repr import with_short_repr

_SHOWN = 5  # class names in a complaint


@with_short_repr
class ConflictFolder(NamedTuple):
    """Images with the shape of one class and the texture of another."""

    images: Tensor  # (n, channels, size, size) uint8
    shapes: Tensor  # (n,) class of the shape
    textures: Tensor  # (n,) class of the texture
    names: list[str]  # of the files, below the folder
    shape_sources: Tensor  # (n,) integers, equal where the images that lend the shape are
    texture_sources: Tensor  # (n,) likewise of the texture


class _Name(NamedTuple):
    """What the name of a file says: a class and the number of its image, for each cue."""

    shape: int
    texture: int
    shape_source: str
    texture_source: str


def read_conflict_folder(folder: Path, class_names: Sequence[str], *, image_size: int, channels: int) -> ConflictFolder:
    """Read images whose names are SHAPE-TEXTURE, each a class and, if wanted, a number: `cat7-elephant3.png`.

    The images lie in the folder or in folders of it, as in the published cue conflicts, where these are the classes of
    the shape. Images with one class for both cues, which are no conflicts, are left out. The shorter side is scaled to
    the size, and the middle square is cut out.

    Args:
        folder: of the images.
        class_names: of the classes, in the order of the labels. Letter case counts, blanks in a name may be "_".
        image_size: height and width of the result, in pixels.
        channels: 1 for grey, 3 for red, green and blue.

    Raises:
        UserError: there is no folder or no conflict in it, a name does not carry two classes, or a file is no image.

    Source: the file names of Geirhos et al. (2019), arXiv:1811.12231.
    """
    if not folder.is_dir():
        raise UserError(f"--images {folder} is no folder; name the folder that holds the conflict images")
    paths = [path for entry in image_paths(folder) for path in (image_paths(entry) if entry.is_dir() else [entry])]
    read = {path: _read_name(path, class_names) for path in paths}
    found = {path: name for path, name in read.items() if name.shape != name.texture}
    if not found:
        alike = f"; {len(read)} of one class alone is left out" if read else ""
        raise UserError(f"--images {folder} holds no image of a shape and a texture of different classes{alike}")
    check_room(str(folder), len(found), (channels, image_size, image_size))
    images = np.empty((len(found), channels, image_size, image_size), np.uint8)
    for place, path in zip(images, found, strict=True):
        pixels = pixels_of(path, channels == 1, image_size)
        place[:] = pixels if channels == 1 else pixels.transpose(2, 0, 1)
    names = list(found.values())
    return ConflictFolder(
        images=torch.from_numpy(images),
        shapes=torch.tensor([name.shape for name in names]),
        textures=torch.tensor([name.texture for name in names]),
        names=[path.relative_to(folder).as_posix() for path in found],
        shape_sources=_numbered([name.shape_source for name in names]),
        texture_sources=_numbered([name.texture_source for name in names]),
    )


def _read_name(path: Path, class_names: Sequence[str]) -> _Name:
    """Return what a name says; each hyphen may be the one between the two classes."""
    stem = path.stem
    cuts = [place for place, character in enumerate(stem) if character == "-"]
    halves = [(stem[:cut], stem[cut + 1 :]) for cut in cuts]
    read = [(_classes_of(one, class_names), _classes_of(other, class_names), one, other) for one, other in halves]
    fitting = [
        _Name(shape, texture, one, other)
        for shapes, textures, one, other in read
        for shape in shapes
        for texture in textures
    ]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{path}: the name fits several pairs of classes; name it SHAPE-TEXTURE without numbers")
    known = ", ".join(class_names[:_SHOWN]) + (", ..." if len(class_names) > _SHOWN else "")
    halves = halves[:1] or [(stem, "")]
    wrong = next((one for one in halves[0] if not _classes_of(one, class_names)), stem)
    what = f"{wrong!r} is no class of the run" if cuts else "the name does not carry two classes"
    raise UserError(
        f"{path}: {what}; name it SHAPE-TEXTURE with classes of the run ({known}) and numbers, e.g. "
        f"{class_names[0]}7-{class_names[-1]}3.png"
    )


def _classes_of(half: str, class_names: Sequence[str]) -> list[int]:
    """Return the classes that half of a name can mean: a class alone, otherwise a class and a number."""
    spelled = [name.replace(" ", "_") for name in class_names]
    alone = [place for place, name in enumerate(class_names) if half in (name, spelled[place])]
    if alone:
        return alone
    return [
        place
        for place, name in enumerate(class_names)
        for written in dict.fromkeys((name, spelled[place]))
        if written and half.startswith(written) and half[len(written) :].isdecimal()
    ]


def _numbered(names: Sequence[str]) -> Tensor:
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names])
