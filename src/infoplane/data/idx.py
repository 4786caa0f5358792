"""MNIST and Fashion-MNIST, which share one file format and its file names.

Sources: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits; H. Xiao, K. Rasul,
R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning Algorithms, arXiv:1708.07747.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from infoplane.data.files import find_folder, required_file, wrong_content
from infoplane.data.images import ImageSet, fragment_note
from infoplane.data.published import read_published

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
PUBLISHED_IMAGES = {"train": 60_000, "test": 10_000}


@dataclass(frozen=True)
class IdxDataset:
    """A dataset of 28x28 grey images in ten classes, in idx files.

    Args:
        name: of the dataset.
        folders: below a root, in which its files are looked for. The root itself comes last, because both datasets
            have the same file names.
        class_names: one per class.
    """

    name: str
    folders: tuple[str, ...]
    class_names: tuple[str, ...]

    def locate(self, root: Path, split: str) -> Path | None:
        """Return the folder at or below `root` that holds both files of the split, or None."""
        return find_folder(root, self.folders, FILES[split])

    def read(self, folder: Path, split: str) -> ImageSet:
        """Read one split, `(n, 1, 28, 28)`, from the idx files in `folder`, plain, .gz or .xz.

        Raises:
            UserError: a file is missing, damaged or not the published one, or images and labels do not belong
                together.
        """
        images_name, labels_name = FILES[split]
        images_path, labels_path = (required_file(folder, name, self.name) for name in FILES[split])
        images = _records(read_published(images_path, self.name, images_name), images_path, (28, 28), self.name)
        labels = _records(read_published(labels_path, self.name, labels_name), labels_path, (), self.name)
        if len(images) != len(labels):
            problem = f"holds {len(labels)} labels for {len(images)} images in {images_path.name}"
            raise wrong_content(labels_path, problem, self.name)
        if labels.size and labels.max() > 9:
            raise wrong_content(labels_path, f"holds label {labels.max()}; classes are 0..9", self.name)
        note = fragment_note(len(images), PUBLISHED_IMAGES[split], split, images_path)
        return ImageSet(
            images=torch.from_numpy(images.copy()).unsqueeze(1),  # a copy: the bytes that were read are read-only
            labels=torch.from_numpy(labels.astype(np.int64)),
            class_names=self.class_names,
            split=split,
            name=self.name,
            complete=not note,
            note=note,
            source=str(images_path),
        )


MNIST = IdxDataset("mnist", ("mnist", "MNIST/raw", ""), tuple("0123456789"))  # the second is torchvision's folder
FASHION_MNIST = IdxDataset(
    "fashion-mnist",
    ("fashion-mnist", "FashionMNIST/raw", ""),
    (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
)


def _records(content: bytes, path: Path, record_shape: tuple[int, ...], dataset: str) -> np.ndarray:
    """Return the records of an idx file of unsigned bytes, `(n, *record_shape)`, uint8.

    The header is big-endian: 0, 0, 8 for unsigned bytes, the number of dimensions, then each dimension in four
    bytes; the records follow, the last dimension fastest.

    Raises:
        UserError: the file is cut short, or its header names another type or shape.
    """
    dimensions = 1 + len(record_shape)
    magic = 0x0800 + dimensions
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise wrong_content(path, f"is cut short: {len(content)} bytes, fewer than its header", dataset)
    found, count, *shape = (int(word) for word in np.frombuffer(content, ">u4", count=1 + dimensions))
    if found != magic:
        raise wrong_content(path, f"is not such an idx file: magic number {found} instead of {magic}", dataset)
    if tuple(shape) != record_shape:
        raise wrong_content(path, f"holds records of shape {tuple(shape)} instead of {record_shape}", dataset)
    expected = start + count * int(np.prod(record_shape))
    if len(content) != expected:
        raise wrong_content(path, f"has {len(content)} bytes where its header promises {expected}", dataset)
    return np.frombuffer(content, np.uint8, offset=start).reshape(count, *record_shape)
