"""STL-10 from its binary files, labelled images only.

Source: A. Coates, H. Lee, A. Y. Ng, An Analysis of Single-Layer Networks in Unsupervised Feature Learning,
AISTATS 2011.
"""

from pathlib import Path

import numpy as np
import torch

from infoplane.data.files import find_folder, required_file, wrong_content
from infoplane.data.images import ImageSet, fragment_note
from infoplane.data.published import read_published

ARCHIVE = "stl10_binary.tar.gz"
ARCHIVE_FOLDER = "stl10_binary"
ARCHIVE_BYTES = 3_200_000_000  # more than the published archive unpacks to
# A fragment comes last, so that a whole copy beside it wins.
FOLDERS = ("", ARCHIVE_FOLDER, "stl10", f"stl10/{ARCHIVE_FOLDER}", "stl10-partial")
FILES = {"train": ("train_X.bin", "train_y.bin"), "test": ("test_X.bin", "test_y.bin")}
PUBLISHED_IMAGES = {"train": 5_000, "test": 8_000}
CLASS_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
_IMAGE_BYTES = 3 * 96 * 96


def locate_stl10(root: Path, split: str) -> Path | None:
    """Return the folder at or below `root` that holds images and labels of the split, or None."""
    return find_folder(root, FOLDERS, FILES[split])


def read_stl10(folder: Path, split: str) -> ImageSet:
    """Read one split, `(n, 3, 96, 96)`, from `folder`; a fragment whose images have their labels is marked as one.

    Raises:
        UserError: a file is missing, damaged or not the published one, or images and labels do not belong together.
    """
    images_path, labels_path = (required_file(folder, name, "stl10") for name in FILES[split])
    images_name, labels_name = FILES[split]
    content = read_published(images_path, "stl10", images_name)
    if not content or len(content) % _IMAGE_BYTES:
        problem = f"has {len(content)} bytes, not a whole number of images of {_IMAGE_BYTES} bytes"
        raise wrong_content(images_path, problem, "stl10")
    # Each plane is stored column by column, so height and width change places.
    images = np.frombuffer(content, np.uint8).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
    labels = np.frombuffer(read_published(labels_path, "stl10", labels_name), np.uint8)
    if len(images) != len(labels):
        problem = f"holds {len(labels)} labels for {len(images)} images in {images_path.name}"
        raise wrong_content(labels_path, problem, "stl10")
    if labels.min() < 1 or labels.max() > 10:
        wrong = labels[(labels < 1) | (labels > 10)][0]
        raise wrong_content(labels_path, f"holds label {wrong}; classes are 1..10", "stl10")
    note = fragment_note(len(images), PUBLISHED_IMAGES[split], split, images_path)
    return ImageSet(
        images=torch.from_numpy(np.ascontiguousarray(images)),
        labels=torch.from_numpy(labels.astype(np.int64) - 1),
        class_names=CLASS_NAMES,
        split=split,
        name="stl10",
        complete=not note,
        note=note,
        source=str(images_path),
    )
