"""The published files of each dataset, and the check that a file on disk is one of them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from infoplane.data.files import differs, read_content
from infoplane.data.remembered import is_remembered, remember, signature


class PublishedFile(NamedTuple):
    """Size in bytes and checksum, "algorithm:hexadecimal", of one file when it is decompressed."""

    size: int
    checksum: str


# Checksums are of the decompressed content, so they serve plain, .gz, .xz and archived copies alike.
# MNIST: of the four .gz files whose checksums are in downloads.py. CIFAR-10: of the members of the archive whose
# checksum is in downloads.py. STL-10: only md5 is published for single files (torchvision/datasets/stl10.py).
# Fashion-MNIST: md5 from the keys under which datasets-mila/datasets--fashionmnist keeps the decompressed files; its
# .gz files have the md5 that Zalando Research publishes.
PUBLISHED: Mapping[str, Mapping[str, PublishedFile]] = {
    "mnist": {
        "train-images-idx3-ubyte": PublishedFile(
            47_040_016, "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": PublishedFile(
            60_008, "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": PublishedFile(
            7_840_016, "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": PublishedFile(
            10_008, "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte": PublishedFile(47_040_016, "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        "train-labels-idx1-ubyte": PublishedFile(60_008, "md5:9018921c3c673c538a1fc5bad174d6f9"),
        "t10k-images-idx3-ubyte": PublishedFile(7_840_016, "md5:8181f5470baa50b63fa0f6fddb340f0a"),
        "t10k-labels-idx1-ubyte": PublishedFile(10_008, "md5:15d484375f8d13e6eb1aabb0c3f46965"),
    },
    "cifar10": {
        "data_batch_1.bin": PublishedFile(
            30_730_000, "sha256:cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"
        ),
        "data_batch_2.bin": PublishedFile(
            30_730_000, "sha256:a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"
        ),
        "data_batch_3.bin": PublishedFile(
            30_730_000, "sha256:bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"
        ),
        "data_batch_4.bin": PublishedFile(
            30_730_000, "sha256:014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"
        ),
        "data_batch_5.bin": PublishedFile(
            30_730_000, "sha256:755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"
        ),
        "test_batch.bin": PublishedFile(
            30_730_000, "sha256:8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"
        ),
    },
    "stl10": {
        "train_X.bin": PublishedFile(138_240_000, "md5:918c2871b30a85fa023e0c44e0bee87f"),
        "train_y.bin": PublishedFile(5_000, "md5:5a34089d4802c674881badbb80307741"),
        "test_X.bin": PublishedFile(221_184_000, "md5:7f263ba9f9e0b06b93213547f721ac82"),
        "test_y.bin": PublishedFile(8_000, "md5:36f9794fa4beb8a2c72628de14fa638e"),
    },
}


def is_published(content: bytes, dataset: str, name: str) -> bool:
    """Whether `content`, decompressed, is the file `name` that `dataset` publishes."""
    size, checksum = PUBLISHED[dataset][name]
    algorithm, _, expected = checksum.partition(":")
    if len(content) != size:
        return False
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest() == expected


def read_published(path: Path, dataset: str, name: str) -> bytes:
    """Return the decompressed content of the file `name` of a dataset, compared with the published checksum.

    Raises:
        UserError: the file cannot be read, is damaged, is longer than the published one, or differs from it. A
            shorter file is returned: its reader says that it is a fragment.
    """
    before = signature(path)
    content = read_content(path, dataset, PUBLISHED[dataset][name].size)
    check_content(content, dataset, name, path, before)
    return content


def check_content(content: bytes, dataset: str, name: str, path: Path, before: tuple[int, ...]) -> None:
    """Refuse content of the published size that differs from the published file.

    The checksum of a file that did not change since it was last compared is not computed again.

    Args:
        content: decompressed.
        dataset: in `PUBLISHED`.
        name: of the file there.
        path: of the file, or of the archive that it lies in.
        before: `signature(path)`, taken before the file was read.

    Raises:
        UserError: the content differs from the published file.
    """
    if len(content) < PUBLISHED[dataset][name].size or is_remembered(dataset, name, path, before):
        return
    if not is_published(content, dataset, name):
        owner = next((other for other in PUBLISHED if _holds(content, other)), None)
        raise differs(path, dataset, name, owner)
    remember(dataset, name, path, before)


def _holds(content: bytes, dataset: str) -> bool:
    return any(is_published(content, dataset, name) for name in PUBLISHED[dataset])
