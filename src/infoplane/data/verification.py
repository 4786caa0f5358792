"""Comparing the copy of a data set that is there with what was published."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from infoplane.data.cifar10 import cifar10_contents
from infoplane.data.files import read_content, required_file, search_roots
from infoplane.data.load import READERS, load_split
from infoplane.errors import UserError

# Checksums of the files themselves, decompressed, so that they serve plain, .gz, .xz and archived copies alike.
# MNIST: of the four .gz files whose checksums are in downloads.py. CIFAR-10: of the members of the archive whose
# checksum is in downloads.py. STL-10: only md5 is published for single files (torchvision/datasets/stl10.py).
CONTENT_CHECKSUMS = {
    "train-images-idx3-ubyte": "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "data_batch_1.bin": "sha256:cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "sha256:a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "sha256:bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "sha256:014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "sha256:755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "sha256:8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
    "train_X.bin": "md5:918c2871b30a85fa023e0c44e0bee87f",
    "train_y.bin": "md5:5a34089d4802c674881badbb80307741",
    "test_X.bin": "md5:7f263ba9f9e0b06b93213547f721ac82",
    "test_y.bin": "md5:36f9794fa4beb8a2c72628de14fa638e",
}


AS_PUBLISHED = "as published"


class FileCheck(NamedTuple):
    """What was found out about one file."""

    file: str
    ok: bool
    message: str


def verify(name: str, folder: Path | None = None) -> list[FileCheck]:
    """Read the copy of a data set that `load_split` would read, and compare every file with the published one.

    Args:
        name: "digits", "mnist", "cifar10" or "stl10".
        folder: look below this folder only; by default below `INFOPLANE_DATA` and the user's cache.

    Returns:
        One entry per file, or one per split that is not there. A fragment whose images and labels
        belong together is usable, so its files are ok; their message says what is missing.

    Raises:
        UserError: the data set is not one of these.
    """
    if name == "digits":
        return [FileCheck(load_split("digits", "test").source, True, "comes with scikit-learn")]
    if name not in READERS:
        raise UserError(f"unknown data set {name!r}; choose one of digits, {', '.join(READERS)}")
    roots = search_roots() if folder is None else [folder]
    return [check for split in READERS[name].files for check in _verify_split(name, split, roots)]


def _verify_split(name: str, split: str, roots: list[Path]) -> list[FileCheck]:
    reader = READERS[name]
    location = next(filter(None, (reader.locate(root, split) for root in roots)), None)
    if location is None:
        names = ", ".join(reader.files[split])
        return [FileCheck(names, False, f"not found in {', '.join(str(root) for root in roots)}")]
    checks = list(_compare_all(name, location, reader.files[split]))
    if not all(check.ok for check in checks):
        try:
            note = reader.read(location, split).note
        except UserError:
            return checks
        if note:
            return [FileCheck(check.file, True, f"a fragment: {note}") for check in checks]
    return checks


def _compare_all(name: str, location: Path, files: tuple[str, ...]) -> Iterator[FileCheck]:
    if location.is_dir():
        for file in files:
            path = required_file(location, file, name)
            try:
                yield _compare(str(path), file, read_content(path, name))
            except UserError as error:
                yield FileCheck(str(path), False, str(error))
    else:
        try:
            for file, path, content in cifar10_contents(location, files):
                yield _compare(f"{path}: {file}", file, content)
        except UserError as error:
            yield FileCheck(str(location), False, str(error))


def _compare(shown: str, file: str, content: bytes) -> FileCheck:
    algorithm, _, expected = CONTENT_CHECKSUMS[file].partition(":")
    same = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() == expected
    return FileCheck(shown, same, AS_PUBLISHED if same else "differs from the published file")
