"""The user's own data: `.npz` files, and functions that return arrays or datasets."""

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infoplane.data.arrays import Part, image_set, part_of_arrays, part_of_pairs
from infoplane.data.images import LARGEST_SET, ImageSet, resize_images
from infoplane.errors import UserError
from infoplane.randomness import isolated_array_generators, isolated_global_generator, stable_seed
from infoplane.user_code import accepted_facts, call_function, described, find_function

FORMS = (
    "an ImageSet, (images, labels), (images, labels, class_names), a dict of these names, a dataset of image-label "
    'pairs, or a dict or pair of these for "train" and "test"'
)
_SPLITS = ("train", "test")


def read_npz(path: Path, split: str, *, image_size: int | None = None) -> ImageSet:
    """Read one split of a `.npz` file.

    Its members are `train_images`, `train_labels`, `test_images` and `test_labels`, or `images` and `labels`, which
    are taken for the test split; and `class_names`, which may be missing. Other members are not read, and pickled
    ones never. Arrays are as `arrays.part_of_arrays` takes them.

    Raises:
        UserError: the file is damaged, a member is missing or too large, or its content is not as described.
    """
    if not path.is_file():
        raise UserError(f"{path} is no file; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.removesuffix(".npy") for name in archive.namelist()}
            prefixes = _prefixes(path, names, split)
            class_names = _member(archive, path, "class_names").tolist() if "class_names" in names else None
            arrays = {
                (one, kind): _member(archive, path, f"{prefix}{kind}")
                for one, prefix in prefixes.items()
                for kind in (("images", "labels") if one == split else ("labels",))
            }
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); check the path") from None
    except Exception as error:  # noqa: BLE001 - zipfile and numpy raise nearly anything on broken files
        raise UserError(f"{path} is no whole .npz file ({described(error)}); write it again") from None
    where = str(path)
    part = part_of_arrays(arrays[split, "images"], arrays[split, "labels"], class_names, where, image_size)
    others = [_labels_alone(labels) for (one, _), labels in arrays.items() if one != split]
    return image_set(part, split, "npz", where, others)


def _prefixes(path: Path, names: set[str], split: str) -> dict[str, str]:
    """Return what stands before "images" and "labels" in the members of each split that is there."""
    found = {one: f"{one}_" for one in _SPLITS if {f"{one}_images", f"{one}_labels"} <= names}
    if not found and {"images", "labels"} <= names:
        found = {"test": ""}
    if split not in found:
        held = ", ".join(sorted(names)[:10]) or "nothing"
        plain = ", or images and labels" if split == "test" else ""
        raise UserError(f"{path} must hold {split}_images and {split}_labels{plain}; it holds {held}"[:600])
    return found


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> np.ndarray:
    """Read one array, after its header has said how large it is."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject:
            raise UserError(f"{path}: {name} is pickled, and pickles are never loaded, as they can run code")
        if size > LARGEST_SET or size != info.file_size - file.tell():
            raise UserError(
                f"{path}: {name} says that it has {size} bytes, and {info.file_size - file.tell()} of at most "
                f"{LARGEST_SET} are there; write it again"
            )
    with archive.open(info) as file:
        array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _labels_alone(labels: np.ndarray) -> Part:
    whole = labels.reshape(-1) if np.issubdtype(labels.dtype, np.integer) else np.zeros(0, np.int64)
    return Part(np.zeros((0, 1, 1, 1), np.uint8), whole.astype(np.int64), None, False)


def read_function(path: str, split: str, *, image_size: int | None = None, seed: int = 0) -> ImageSet:
    """Call a function of the user's own, and return one split of the data that it returns.

    The function returns one of `FORMS`. If it has an argument `split`, it is called with "train" or "test" and
    returns that split; without, it returns both, or the test split alone. Images are uint8 or floats in [0, 1], with
    channels first or last, or Pillow's; labels are integers from 0. The global generators of
    torch, numpy and Python are seeded by `seed`.

    Args:
        path: "package.module:function".
        split: "train" or "test".
        image_size: the shorter side is scaled to this and the middle cut out as a square.
        seed: decides what the function draws from the global generators.

    Raises:
        UserError: there is no such function, it raises, or what it returns is none of these or could be meant in two
            ways.
    """
    function = find_function(path, "data")
    facts = {"split": split}
    by_split = bool(accepted_facts(function, facts, path, "data"))
    own = stable_seed(seed, "own data")  # the same for both splits: a function that shuffles cuts the same order twice
    with isolated_global_generator(own), isolated_array_generators(own):
        returned = call_function(function, facts, path, "data")
        splits = {split: returned} if by_split else _splits(returned, path)
        if split not in splits:
            raise UserError(f'the data {path} has no {split} split; return {{"train": ..., "test": ...}}')
        if isinstance(splits[split], ImageSet):
            return _own_image_set(splits[split], split, path, image_size)
        part = _part(splits[split], path, image_size)
        others = [_part_labels(value) for name, value in splits.items() if name != split and part.class_names is None]
    return image_set(part, split, "function", path, [other for other in others if other is not None])


def _own_image_set(given: ImageSet, split: str, path: str, image_size: int | None) -> ImageSet:
    if given.split != split:
        raise UserError(f"the data {path} returned an ImageSet of the split {given.split!r} for {split!r}")
    images = given.images.cpu() if image_size is None else resize_images(given.images.cpu(), image_size)
    return ImageSet(
        images=images,
        labels=given.labels.cpu(),
        class_names=tuple(map(str, given.class_names)),
        split=split,
        name="function",
        complete=given.complete,
        note=given.note,
        source=path,
    )


def _splits(returned: Any, path: str) -> Mapping[str, Any]:
    """Take apart what a function returned that was not asked for one split."""
    if isinstance(returned, Mapping) and "images" not in returned:
        if not {*returned} & {*_SPLITS}:
            held = ", ".join(map(str, returned)) or "nothing"
            raise UserError(f'the data {path} returned a dict of {held}; it must have "train" and "test"'[:400])
        return returned
    if isinstance(returned, tuple | list) and len(returned) == 2 and not _is_arrays(returned):
        return dict(zip(_SPLITS, returned, strict=True))
    return {"test": returned}


def _is_arrays(value: Any) -> bool:
    """Whether this is (images, labels) or (images, labels, class_names), not pairs or splits."""
    return isinstance(value, tuple | list) and len(value) in (2, 3) and hasattr(value[0], "dtype")


def _part(value: Any, path: str, image_size: int | None) -> Part:
    where = f"the data {path}"
    if isinstance(value, Mapping):
        if lacking := [name for name in ("images", "labels") if name not in value]:
            raise UserError(f"{where} returned a dict without {', '.join(lacking)}; return {FORMS}")
        return part_of_arrays(value["images"], value["labels"], value.get("class_names"), where, image_size)
    if _is_arrays(value):
        return part_of_arrays(value[0], value[1], value[2] if len(value) == 3 else None, where, image_size)
    pairs, class_names = _pairs(value, where)
    return part_of_pairs(pairs, class_names, where, image_size)


def _part_labels(value: Any) -> Part | None:
    """The labels of a split that is not asked for, where they are at hand without reading every image."""
    if isinstance(value, Mapping):
        value = (None, value.get("labels"))
    elif not _is_arrays(value):
        return None
    return _labels_alone(np.asarray(value[1])) if value[1] is not None else None


def _pairs(dataset: Any, where: str) -> tuple[list[tuple[Any, Any]], list[str] | None]:
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or isinstance(dataset, str | bytes):
        advice = "; give its dataset" if hasattr(dataset, "dataset") else ""
        raise UserError(f"{where} returned a {type(dataset).__name__}{advice}; return {FORMS}")
    try:
        items = [dataset[index] for index in range(len(dataset))]
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: reading the dataset raised {described(error)}; mend it") from error
    keys = _keys(items[0], where) if items and isinstance(items[0], Mapping) else None
    pairs = []
    for index, item in enumerate(items):
        if keys is not None:
            pairs.append((item[keys[0]], item[keys[1]]))
        elif isinstance(item, tuple | list) and len(item) == 2:
            pairs.append((item[0], item[1]))
        else:
            raise UserError(f"{where}: item {index} is a {type(item).__name__}, not a pair of image and label")
    return pairs, _dataset_names(dataset, keys)


def _keys(item: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Return under which keys a dataset of dictionaries, such as Hugging Face's, holds image and label."""
    images = [key for key in ("image", "img") if key in item]
    labels = [key for key in ("label", "labels") if key in item]
    if len(images) != 1 or len(labels) != 1:
        raise UserError(f"{where}: items must have image (or img) and label, found {', '.join(map(str, item))}"[:400])
    return images[0], labels[0]


def _dataset_names(dataset: Any, keys: tuple[str, str] | None) -> list[str] | None:
    """Return the names of classes where a dataset, or the one it is a subset of, has them."""
    if keys is not None:
        names = getattr((getattr(dataset, "features", None) or {}).get(keys[1]), "names", None)
        return None if names is None else list(names)
    while dataset is not None:
        if isinstance(names := getattr(dataset, "classes", None), list | tuple):
            return [str(name) for name in names]
        dataset = getattr(dataset, "dataset", None)
    return None
