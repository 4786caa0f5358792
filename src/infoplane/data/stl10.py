"""STL-10, read from its binary files; labelled images only.

Source: A. Coates, H. Lee, A. Y. Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning,
AISTATS 2011.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.data.files import required_file, wrong_content
from infoplane.data.spec import Archive, DatasetSpec, Publication, PublishedFile, Source, Wanted

if TYPE_CHECKING:
    from infoplane.data.images import ImageSet

_IMAGE_BYTES = 3 * 96 * 96


def _read(spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    """Read one split, `(n, 3, 96, 96)`, from a folder; an incomplete split with matching labels is marked.

    Raises:
        UserError: a file is missing, damaged or not the published one, or images and labels do not belong together.
    """
    import numpy as np
    import torch

    from infoplane.data.images import ImageSet, fragment_note
    from infoplane.data.published import read_published

    folder, split = Path(wanted.place), wanted.split
    images_name, labels_name = spec.published.files[split]
    images_path, labels_path = (required_file(folder, name, spec.name) for name in (images_name, labels_name))
    content = read_published(images_path, spec, images_name)
    if not content or len(content) % _IMAGE_BYTES:
        problem = f"has {len(content)} bytes, not a whole number of images of {_IMAGE_BYTES} bytes"
        raise wrong_content(images_path, problem, spec.name)
    # Each plane is stored column by column, so height and width are swapped.
    images = np.frombuffer(content, np.uint8).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
    labels = np.frombuffer(read_published(labels_path, spec, labels_name), np.uint8)
    if len(images) != len(labels):
        problem = f"holds {len(labels)} labels for {len(images)} images in {images_path.name}"
        raise wrong_content(labels_path, problem, spec.name)
    if labels.min() < 1 or labels.max() > 10:
        wrong = labels[(labels < 1) | (labels > 10)][0]
        raise wrong_content(labels_path, f"holds label {wrong}; classes are 1..10", spec.name)
    note = fragment_note(len(images), spec.published.images[split], split, images_path)
    return ImageSet(
        images=torch.from_numpy(np.ascontiguousarray(images)),
        labels=torch.from_numpy(labels.astype(np.int64) - 1),
        class_names=spec.class_names,
        split=split,
        name=spec.name,
        complete=not note,
        note=note,
        source=str(images_path),
    )


STL10 = DatasetSpec(
    name="stl10",
    description="photographs of animals and vehicles, larger and fewer than CIFAR-10's",
    class_names=("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
    image_size=96,
    channels=3,
    read=_read,
    publication=Publication(
        images={"train": 5_000, "test": 8_000},
        # The fragment comes last, so that a complete copy is preferred.
        folders=("", "stl10_binary", "stl10", "stl10/stl10_binary", "stl10-partial"),
        home="stl10_binary",
        # Only md5 is published for single files (torchvision/datasets/stl10.py).
        files={
            "train": {
                "train_X.bin": PublishedFile(138_240_000, "md5:918c2871b30a85fa023e0c44e0bee87f"),
                "train_y.bin": PublishedFile(5_000, "md5:5a34089d4802c674881badbb80307741"),
            },
            "test": {
                "test_X.bin": PublishedFile(221_184_000, "md5:7f263ba9f9e0b06b93213547f721ac82"),
                "test_y.bin": PublishedFile(8_000, "md5:36f9794fa4beb8a2c72628de14fa638e"),
            },
        },
        archive=Archive(name="stl10_binary.tar.gz", folder="stl10_binary", largest=3_200_000_000),
        # Size and checksum: tensorflow/datasets, url_checksums/stl10.txt. Mirrors: the authors' pages.
        sources=(
            Source(
                "stl10_binary.tar.gz",
                "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
                2_640_397_119,
                (
                    "https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                    # Without TLS; the checksum still decides whether it is kept.
                    "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                ),
            ),
        ),
    ),
)
