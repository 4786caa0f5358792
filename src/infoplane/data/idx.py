"""Reader of idx files, the format of MNIST and of datasets with the same file names."""

from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.data.files import required_file, wrong_content
from infoplane.data.spec import DatasetSpec, Source, Wanted

if TYPE_CHECKING:
    import numpy as np

    from infoplane.data.images import ImageSet


def idx_source(dataset: str, mirrors: tuple[str, ...], file: str, size: int, sha256: str) -> Source:
    """Return the download source of a compressed file that has the same name at each mirror."""
    return Source(f"{dataset}/{file}", sha256, size, tuple(mirror + file for mirror in mirrors))


def read_idx(spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    """Read one split, `(n, 1, size, size)`, from idx files, plain, .gz or .xz.

    Args:
        spec: dataset whose publication lists a file of images, then one of labels, for each split.
        wanted: split and size; its place is the folder with the files.

    Raises:
        UserError: a file is missing, damaged or not the published one, or images and labels do not belong together.
    """
    import numpy as np
    import torch

    from infoplane.data.images import ImageSet, fragment_note
    from infoplane.data.published import read_published

    assert spec.image_size is not None
    folder, split, size = Path(wanted.place), wanted.split, spec.image_size
    images_name, labels_name = spec.published.files[split]
    images_path, labels_path = (required_file(folder, name, spec.name) for name in (images_name, labels_name))
    images = _records(read_published(images_path, spec, images_name), images_path, (size, size), spec.name)
    labels = _records(read_published(labels_path, spec, labels_name), labels_path, (), spec.name)
    if len(images) != len(labels):
        problem = f"holds {len(labels)} labels for {len(images)} images in {images_path.name}"
        raise wrong_content(labels_path, problem, spec.name)
    if labels.size and labels.max() >= len(spec.class_names):
        problem = f"holds label {labels.max()}; classes are 0..{len(spec.class_names) - 1}"
        raise wrong_content(labels_path, problem, spec.name)
    note = fragment_note(len(images), spec.published.images[split], split, images_path)
    return ImageSet(
        images=torch.from_numpy(images.copy()).unsqueeze(1),  # a copy: the bytes that were read are read-only
        labels=torch.from_numpy(labels.astype(np.int64)),
        class_names=spec.class_names,
        split=split,
        name=spec.name,
        complete=not note,
        note=note,
        source=str(images_path),
    )


def _records(content: bytes, path: Path, record_shape: tuple[int, ...], dataset: str) -> "np.ndarray":
    """Return the records of an idx file of unsigned bytes, `(n, *record_shape)`, uint8.

    The header is big-endian: 0, 0, 8 for unsigned bytes, the number of dimensions, then each dimension in four
    bytes; the records follow, the last dimension fastest.

    Raises:
        UserError: the file is cut short, or its header names another type or shape.
    """
    import numpy as np

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
