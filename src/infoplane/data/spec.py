"""All that is known of one dataset: its name, how it is read, where copies of it lie, and what was published."""

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
    """One file to download: its place below the data folder, its checksum, its size in bytes, and its mirrors."""

    path: str
    sha256: str
    size: int
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The archive that the files of a dataset are published in.

    Args:
        name: of the archive, a .tar.gz.
        folder: in the archive, which holds the files.
        largest: more bytes than the archive unpacks to.
        folders: below a root, in which the archive is looked for, to be read without unpacking it; none where a
            download is unpacked, and the archive then deleted.
    """

    name: str
    folder: str
    largest: int
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Publication:
    """The files of a published dataset.

    Args:
        files: by split and by name, what each file is when it is decompressed. So one checksum serves plain, .gz, .xz
            and archived copies.
        images: how many there are in each split.
        folders: below a root, in which the files are looked for, in this order.
        home: the one of `folders` that downloads go to.
        sources: what can be downloaded.
        archive: that the files are published in, if any.
        pickles: below a root, copies that would have to be unpickled, which is never done.
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
        """Return the folder at or below `root` that holds the files of the split, or else the archive; or None."""
        if (folder := find_folder(root, self.folders, self.files[split])) or self.archive is None:
            return folder
        archives = (root / place / self.archive.name for place in self.archive.folders)
        return next((path for path in archives if path.is_file()), None)


@dataclass(frozen=True)
class Own:
    """A kind of data of the user's own.

    Args:
        recognises: whether what `--data` was given is of this kind.
        is_code: whether the place is the path of a function, which reading imports and calls.
    """

    recognises: Callable[[str], bool]
    is_code: bool = False

    def place(self, given: str) -> str:
        """Return the place that a run keeps, for what `--data` was given: paths become absolute."""
        return given if self.is_code else str(Path(given).resolve())

    def title(self, place: str) -> str:
        """Return what titles call the data of a place."""
        return place if self.is_code else PurePath(place).name


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """One dataset, or one kind of data of the user's own. Torch is imported inside `read`.

    Args:
        name: as it is typed.
        description: one line, for help and documentation.
        read: returns the images that are wanted; it may leave another `image_size` to the caller.
        class_names: one per class; empty where the data say so themselves.
        image_size: height and width in pixels where nothing else is asked for; None where the data say so themselves.
        channels: 1 for grey, 3 for RGB; None likewise.
        publication: its files; None where it needs no download.
        comes_with: for a dataset without files of its own, the package that contains it.
        seeded: whether the seed decides which images are in which split.
        own: for data of the user's own, how they are recognised.
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
        """The publication of a dataset that has one."""
        assert self.publication is not None
        return self.publication

    @property
    def summary(self) -> str:
        """The description with the facts that are known of all images."""
        facts = [f"{len(self.class_names)} classes"] if self.class_names else []
        if self.image_size is not None:
            facts.append(f"{self.image_size}x{self.image_size} pixels")
        if self.channels is not None:
            facts.append("grey" if self.channels == 1 else "RGB")
        if self.seeded:
            facts.append("--data.seed decides the splits")
        return f"{self.description} ({', '.join(facts)})" if facts else self.description
