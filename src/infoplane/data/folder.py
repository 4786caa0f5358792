"""Read a user's own folder of images: `train/CLASS/*` and `test/CLASS/*`."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.data.pictures import checked_mode, square
from infoplane.data.spec import SPLITS, DatasetSpec, Own, Wanted
from infoplane.errors import UserError
from infoplane.text import one_line

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from infoplane.data.images import ImageSet

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")  # some of its others run programs
# Files that operating systems and people put beside images, in lower case.
_LITTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"}
_READMES = {"readme", "readme.txt", "readme.md", "readme.rst"}
_LITTER_FOLDERS = {"__macosx", "$recycle.bin", "system volume information", "@eadir"}


@dataclass(frozen=True)
class _File:
    path: Path
    label: int
    size: tuple[int, int]  # width, height
    grey: bool


def _read(spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    """Read one split of a folder of images; classes and files are sorted by name.

    Images are grey, `(n, 1, height, width)`, if every image of both splits is grey, and RGB otherwise, so that one
    model fits both splits. Hidden files, system files (Thumbs.db, desktop.ini), readme files and pipes or other
    non-files are skipped. Transparency is dropped, and orientation tags of cameras are not applied. In class names,
    bytes that are not UTF-8 become replacement characters.

    If an image size is given, the shorter side is scaled to it (bilinear, antialiased) and the middle square is cut
    out. Otherwise all images must have the same size.

    Raises:
        UserError: a folder is missing or empty, the classes of the splits differ, an image cannot be read, or
            sizes differ without an `image_size`.
    """
    import numpy as np
    import torch

    from infoplane.data.images import ImageSet, check_room

    root, split, image_size = Path(wanted.place), wanted.split, wanted.image_size
    if not root.is_dir():
        raise UserError(f"{root} is no folder; name the folder that holds the data")
    present = [name for name in SPLITS if (root / name).is_dir()]
    if split not in present:
        held = f"holds {present[0]}/ only" if present else "holds neither train/ nor test/"
        raise UserError(f"{root} {held}; put the {split} images into {root / split}/CLASS/")
    classes = {name: _class_names(root / name) for name in present}
    if len({*classes.values()}) > 1:
        for first, second in (SPLITS, SPLITS[::-1]):
            if extra := sorted({*classes[first]} - {*classes[second]}):
                raise UserError(
                    f"{root}: class {extra[0]!r} is in {first}/ but not in {second}/; "
                    "both must hold the same class folders"
                )
    files = {name: _inspect(root / name, classes[name]) for name in present}
    everything = [file for name in present for file in files[name]]
    if image_size is None:
        _check_one_size(everything)
    grey = all(file.grey for file in everything)
    width, height = (image_size, image_size) if image_size is not None else everything[0].size
    check_room(str(root), len(files[split]), (1 if grey else 3, height, width))
    images = np.empty((len(files[split]), 1 if grey else 3, height, width), np.uint8)
    for place, file in zip(images, files[split], strict=True):
        pixels = pixels_of(file.path, grey, image_size)
        place[:] = pixels if grey else pixels.transpose(2, 0, 1)
    return ImageSet(
        images=torch.from_numpy(images),
        labels=torch.tensor([file.label for file in files[split]]),
        class_names=_shown(classes[split]),
        split=split,
        name=spec.name,
        source=str(root / split),
    )


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise UserError(f"{folder} cannot be listed ({error.strerror}); check its permissions") from None


def _class_names(folder: Path) -> tuple[str, ...]:
    names = tuple(path.name for path in _entries(folder) if path.is_dir() and path.name.lower() not in _LITTER_FOLDERS)
    if not names:
        raise UserError(f"{folder} holds no class folders; put images into {folder}/CLASS/")
    return names


def _shown(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names as valid text; names that become equal are numbered."""
    shown: list[str] = []
    for name in map(one_line, names):
        number, numbered = 2, name
        while numbered in shown:
            number, numbered = number + 1, f"{name} ({number})"
        shown.append(numbered)
    return tuple(shown)


def image_paths(folder: Path) -> list[Path]:
    """Return the paths of the images: all files but hidden and system files, pipes, sockets and devices."""
    return [
        path
        for path in _entries(folder)
        if path.name.lower() not in _LITTER | _READMES | _LITTER_FOLDERS
        and (path.is_file() or path.is_dir() or path.is_symlink())
    ]


def _inspect(folder: Path, classes: tuple[str, ...]) -> list[_File]:
    """Read the header of every image, which is much faster than reading the pixels."""
    files = []
    for label, name in enumerate(classes):
        paths = image_paths(folder / name)
        if not paths:
            raise UserError(f"{folder / name} holds no images; add some, or remove the class from both splits")
        for path in paths:
            if path.is_dir():
                raise UserError(f"{path} is a folder; images lie directly in {folder}/CLASS/")
            files.append(_header(path, label))
    return files


def _header(path: Path, label: int) -> _File:
    with _opened(path) as image:
        mode, size = image.mode, image.size
    return _File(path, label, size, checked_mode(mode, str(path)))


def _check_one_size(files: list[_File]) -> None:
    first = files[0]
    for file in files:
        if file.size != first.size:
            raise UserError(
                f"images differ in size: {first.path} is {first.size[0]}x{first.size[1]}, "
                f"{file.path} is {file.size[0]}x{file.size[1]}; choose one with --data.image-size"
            )


def pixels_of(path: Path, grey: bool, image_size: int | None) -> "np.ndarray":
    """Return the pixels of an image, uint8, `(height, width)` or `(height, width, 3)`; with a size, of a square.

    Raises:
        UserError: the file cannot be read as an image.
    """
    import numpy as np

    with _opened(path) as image:
        # Via RGBA, because a palette that holds transparency makes Pillow warn.
        opaque = image.convert("RGBA") if image.mode == "P" and "transparency" in image.info else image
        converted = opaque.convert("L" if grey else "RGB")
    return np.asarray(converted if image_size is None else square(converted, image_size))


@contextmanager
def _opened(path: Path) -> Iterator["Image"]:
    """Open an image; any error in the block becomes one line that names the file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                yield image
    except UnidentifiedImageError:
        raise UserError(
            f"{path} cannot be read as an image (cannot identify image file as one of {', '.join(FORMATS)}); "
            "replace or remove it"
        ) from None
    except Exception as error:  # noqa: BLE001 - decoders raise nearly anything on broken files
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(f"{path} cannot be read as an image ({reason}); replace or remove it") from None


FOLDER = DatasetSpec(
    name="folder",
    description="your own folder of images, FOLDER/train/CLASS/* and FOLDER/test/CLASS/*",
    read=_read,
    own=Own(recognises=lambda _given: True),
)
