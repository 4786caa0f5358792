"""`DatasetSpec`: name, description, reader, folders and published files of one dataset."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from infoplane.data.files import find_folder
from infoplane.text import with_field_help

if TYPE_CHECKING:
    from infoplane.data.images import ImageSet

SPLITS = ("train", "test")


@with_field_help
class Wanted(NamedTuple):
    """Which images of a dataset are asked for.

    Attributes:
        split: "train" or "test".
        place: where they lie: what `locate` found, or what the user named; empty where nothing was named.
        image_size: pixels of a side; None for the size that the dataset has.
        seed: decides the draws of data that are drawn.
    """

    split: str
    place: str
    image_size: int | None = None
    seed: int = 0


@with_field_help
class PublishedFile(NamedTuple):
    """Size in bytes and checksum, "algorithm:hexadecimal", of one file when it is decompressed.

    Attributes:
        size: in bytes.
        checksum: "algorithm:hexadecimal".
    """

    size: int
    checksum: str


@dataclass(frozen=True)
class Source:
    """One file to download: its path below the data folder, checksum, size in bytes and mirrors."""

    path: str
    sha256: str
    size: int
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The archive in which the files of a dataset are published.

    Args:
        name: name of the archive, a .tar.gz.
        folder: folder inside the archive that holds the files.
        largest: upper limit, in bytes, of the size of the unpacked archive.
        folders: folders below a root that are searched for the archive, which is read without unpacking it. Empty if
            a downloaded archive is unpacked and then deleted.
    """

    name: str
    folder: str
    largest: int
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The files of a published dataset.

    Args:
        files: size and checksum of each decompressed file, by split and name. So one checksum is valid for plain, .gz,
            .xz and archived copies.
        images: number of images in each split.
        folders: folders below a root that are searched for the files, in this order.
        home: the one of `folders` in which downloads are stored.
        sources: files that can be downloaded.
        archive: the archive in which the files are published, if any.
        pickles: paths below a root of pickled copies. They are never loaded; a message names them.
    """

    files: Mapping[str, Mapping[str, PublishedFile]]
    images: Mapping[str, int]
    folders: tuple[str, ...]
    home: str
    sources: tuple[Source, ...] = ()
    archive: Archive | None = None
    pickles: tuple[str, ...] = ()
    by_name: Mapping[str, PublishedFile] = field(init=False)

    def __post_init__(self) -> None:
        every = {name: file for files in self.files.values() for name, file in files.items()}
        object.__setattr__(self, "by_name", every)

    def locate(self, root: Path, split: str) -> Path | None:
        """Return the folder at or below `root` with the files of the split, else the archive, else None."""
        if (folder := find_folder(root, self.folders, self.files[split])) or self.archive is None:
            return folder
        archives = (root / place / self.archive.name for place in self.archive.folders)
        return next((path for path in archives if path.is_file()), None)


@dataclass(frozen=True)
class Own:
    """A kind of data that the user provides with `--data`.

    Args:
        recognises: function that says whether the value of `--data` is of this kind.
        is_code: whether the place is the path of a function; reading then imports and calls it.
    """

    recognises: Callable[[str], bool]
    is_code: bool = False

    def place(self, given: str) -> str:
        """Return the value of `--data` as a run stores it: with absolute paths."""
        return given if self.is_code else str(Path(given).resolve())

    def title(self, place: str) -> str:
        """Return the name of the data at a place, for titles."""
        return place if self.is_code else PurePath(place).name


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One dataset, or one kind of a user's own data. Torch is imported inside `read`.

    Args:
        name: as typed on the command line.
        description: one line, for help and documentation.
        read: function that returns the requested images; it may leave scaling to `image_size` to the caller.
        class_names: one per class; empty if they are read from the data.
        image_size: default height and width in pixels; None if it is read from the data.
        channels: 1 for grey, 3 for RGB; None if it is read from the data.
        publication: the published files; None if the dataset needs no download.
        comes_with: the package that contains the dataset, if it has no files of its own.
        seeded: whether the seed decides which images are in which split.
        own: for a user's own data, how they are recognised.
    """

    name: str
    description: str
    read: Callable[["DatasetSpec", Wanted], "ImageSet"]
    class_names: tuple[str, ...] = ()
    image_size: int | None = None
    channels: int | None = None
    publication: Publication | None = None
    comes_with: str = "infoplane"
    seeded: bool = False
    own: Own | None = None

    @property
    def published(self) -> Publication:
        """The published files of a dataset that has some."""
        assert self.publication is not None
        return self.publication

    @property
    def summary(self) -> str:
        """The description, with image size, channels and classes if all images share them."""
        facts = [f"{len(self.class_names)} classes"] if self.class_names else []
        if self.image_size is not None:
            facts.append(f"{self.image_size}x{self.image_size} pixels")
        if self.channels is not None:
            facts.append("grey" if self.channels == 1 else "RGB")
        if self.seeded:
            facts.append("--data.seed decides the splits")
        return f"{self.description} ({', '.join(facts)})" if facts else self.description
