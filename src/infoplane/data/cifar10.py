"""CIFAR-10, read from its binary version: plain, .gz or .xz batches, or the published archive.

Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.data.files import wrong_content
from infoplane.data.spec import Archive, DatasetSpec, Publication, PublishedFile, Source, Wanted

if TYPE_CHECKING:
    from torch import Tensor

    from infoplane.data.images import ImageSet

_RECORD_BYTES = 1 + 3 * 32 * 32  # label, then the red, green and blue plane, each row by row


def _read(spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    """Read one split, `(n, 3, 32, 32)`, from a folder of batches or from the published archive.

    Raises:
        UserError: a batch is missing, damaged or not the published one.
    """
    import torch

    from infoplane.data.images import ImageSet, fragment_note
    from infoplane.data.published import published_contents

    location, names = Path(wanted.place), tuple(spec.published.files[wanted.split])
    contents = published_contents(location, spec, names)
    batches = {name: _read_batch(path, name, content, spec.name) for name, path, content in contents}
    images = torch.cat([batches[name][0] for name in names])
    note = fragment_note(len(images), spec.published.images[wanted.split], wanted.split, location)
    return ImageSet(
        images=images,
        labels=torch.cat([batches[name][1] for name in names]),
        class_names=spec.class_names,
        split=wanted.split,
        name=spec.name,
        complete=not note,
        note=note,
        source=str(location),
    )


def _read_batch(path: Path, name: str, content: bytes, dataset: str) -> "tuple[Tensor, Tensor]":
    import numpy as np
    import torch

    problem = "" if path.name.startswith(name) else f"{name} in it "
    if not content or len(content) % _RECORD_BYTES:
        problem += f"has {len(content)} bytes, not a whole number of records of {_RECORD_BYTES} bytes"
        raise wrong_content(path, problem, dataset)
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    labels = records[:, 0]
    if labels.max() > 9:
        record = int((labels > 9).argmax())
        problem += f"holds label {labels[record]} in record {record}; classes are 0..9"
        raise wrong_content(path, problem, dataset)
    images = records[:, 1:].copy().reshape(-1, 3, 32, 32)
    return torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))


def _batch(sha256: str) -> PublishedFile:
    return PublishedFile(30_730_000, f"sha256:{sha256}")


CIFAR10 = DatasetSpec(
    name="cifar10",
    description="photographs of animals and vehicles",
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    image_size=32,
    channels=3,
    read=_read,
    publication=Publication(
        images={"train": 50_000, "test": 10_000},
        folders=("", "cifar-10-batches-bin", "cifar10", "cifar10/cifar-10-batches-bin"),
        home="cifar10/cifar-10-batches-bin",
        # Checksums of the members of the archive in `sources`.
        files={
            "train": {
                "data_batch_1.bin": _batch("cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
                "data_batch_2.bin": _batch("a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
                "data_batch_3.bin": _batch("bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
                "data_batch_4.bin": _batch("014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
                "data_batch_5.bin": _batch("755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
            },
            "test": {"test_batch.bin": _batch("8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b")},
        },
        archive=Archive(
            name="cifar-10-binary.tar.gz", folder="cifar-10-batches-bin", largest=190_000_000, folders=("", "cifar10")
        ),
        pickles=(
            "cifar-10-batches-py",
            "cifar-10-python.tar.gz",
            "cifar10/cifar-10-batches-py",
            "cifar10/cifar-10-python.tar.gz",
        ),
        # Size and checksum: tensorflow/datasets, url_checksums/cifar10.txt. Mirrors: the author's page;
        # tensorflow/swift-models.
        sources=(
            Source(
                "cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                170_052_171,
                (
                    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                    "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
                ),
            ),
        ),
    ),
)
