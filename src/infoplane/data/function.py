"""Read data from a user's own function, which returns arrays or datasets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoplane.data.spec import SPLITS, DatasetSpec, Own, Wanted
from infoplane.errors import UserError
from infoplane.user_code import accepted_facts, call_function, described, find_function

if TYPE_CHECKING:
    from infoplane.data.arrays import Part
    from infoplane.data.images import ImageSet

FORMS = (
    "an ImageSet, (images, labels), (images, labels, class_names), a dict of these names, a dataset of image-label "
    'pairs, or a dict or pair of these for "train" and "test"'
)


def _read(spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    """Call a user's own function, and return one split of the data that it returns.

    The function returns one of `FORMS`. If it has an argument `split`, it is called with "train" or "test" and
    returns that split. Otherwise it returns both splits, or the test split alone. Images are uint8 or floats in [0, 1]
    with channels first or last, or Pillow images; labels are integers from 0. The global generators of torch, numpy
    and Python are seeded with `seed`.

    Raises:
        UserError: there is no such function, it raises, or its result is none of these or is ambiguous.
    """
    from infoplane.data.arrays import image_set
    from infoplane.data.images import ImageSet
    from infoplane.randomness import isolated_array_generators, isolated_global_generator, stable_seed

    path, split = wanted.place, wanted.split
    function = find_function(path, "data")
    facts = {"split": split}
    by_split = bool(accepted_facts(function, facts, path, "data"))
    # The same seed for both splits, so that a function that shuffles and then splits gives disjoint splits.
    own = stable_seed(wanted.seed, "own data")
    with isolated_global_generator(own), isolated_array_generators(own):
        returned = call_function(function, facts, path, "data")
        splits = {split: returned} if by_split else _splits(returned, path)
        if split not in splits:
            raise UserError(f'the data {path} has no {split} split; return {{"train": ..., "test": ...}}')
        if isinstance(splits[split], ImageSet):
            return _own_image_set(splits[split], spec, wanted)
        part = _part(splits[split], path, wanted.image_size)
        others = [_part_labels(value) for name, value in splits.items() if name != split and part.class_names is None]
    return image_set(part, split, spec.name, path, [other for other in others if other is not None])


def _own_image_set(given: "ImageSet", spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    from infoplane.data.images import ImageSet

    path = wanted.place
    if given.split != wanted.split:
        raise UserError(f"the data {path} returned an ImageSet of the split {given.split!r} for {wanted.split!r}")
    return ImageSet(
        images=given.images.cpu(),
        labels=given.labels.cpu(),
        class_names=tuple(map(str, given.class_names)),
        split=given.split,
        name=spec.name,
        complete=given.complete,
        note=given.note,
        source=path,
    )


def _splits(returned: Any, path: str) -> Mapping[str, Any]:
    """Separate the splits that a function without an argument `split` returned."""
    if isinstance(returned, Mapping) and "images" not in returned:
        if not {*returned} & {*SPLITS}:
            held = ", ".join(map(str, returned)) or "nothing"
            raise UserError(f'the data {path} returned a dict of {held}; it must have "train" and "test"'[:400])
        return returned
    if isinstance(returned, tuple | list) and len(returned) == 2 and not _is_arrays(returned):
        return dict(zip(SPLITS, returned, strict=True))
    return {"test": returned}


def _is_arrays(value: Any) -> bool:
    """Whether this is (images, labels) or (images, labels, class_names), not pairs or splits."""
    return isinstance(value, tuple | list) and len(value) in (2, 3) and hasattr(value[0], "dtype")


def _part(value: Any, path: str, image_size: int | None) -> "Part":
    from infoplane.data.arrays import part_of_arrays, part_of_pairs

    where = f"the data {path}"
    if isinstance(value, Mapping):
        if lacking := [name for name in ("images", "labels") if name not in value]:
            raise UserError(f"{where} returned a dict without {', '.join(lacking)}; return {FORMS}")
        return part_of_arrays(value["images"], value["labels"], value.get("class_names"), where, image_size)
    if _is_arrays(value):
        return part_of_arrays(value[0], value[1], value[2] if len(value) == 3 else None, where, image_size)
    pairs, class_names = _pairs(value, where)
    return part_of_pairs(pairs, class_names, where, image_size)


def _part_labels(value: Any) -> "Part | None":
    """The labels of the other split, if they can be read without reading every image."""
    import numpy as np

    from infoplane.data.arrays import labels_alone

    if isinstance(value, Mapping):
        value = (None, value.get("labels"))
    elif not _is_arrays(value):
        return None
    return labels_alone(np.asarray(value[1])) if value[1] is not None else None


def _pairs(dataset: Any, where: str) -> tuple[list[tuple[Any, Any]], list[str] | None]:
    if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")) or isinstance(dataset, str | bytes):
        advice = "; give its dataset" if hasattr(dataset, "dataset") else ""
        raise UserError(f"{where} returned a {type(dataset).__name__}{advice}; return {FORMS}")
    try:
        items = [dataset[index] for index in range(len(dataset))]
    except (Exception, SystemExit) as error:
        raise UserError(f"{where}: reading the dataset raised {described(error)}; correct it") from error
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
    """Return the keys of image and label in a dataset of dictionaries, such as those of Hugging Face."""
    images = [key for key in ("image", "img") if key in item]
    labels = [key for key in ("label", "labels") if key in item]
    if len(images) != 1 or len(labels) != 1:
        raise UserError(f"{where}: items must have image (or img) and label, found {', '.join(map(str, item))}"[:400])
    return images[0], labels[0]


def _dataset_names(dataset: Any, keys: tuple[str, str] | None) -> list[str] | None:
    """Return the class names of a dataset, or of the dataset that it is a subset of; None if it has none."""
    if keys is not None:
        names = getattr((getattr(dataset, "features", None) or {}).get(keys[1]), "names", None)
        return None if names is None else list(names)
    while dataset is not None:
        if isinstance(names := getattr(dataset, "classes", None), list | tuple):
            return [str(name) for name in names]
        dataset = getattr(dataset, "dataset", None)
    return None


def _is_path(given: str) -> bool:
    return re.fullmatch(r"[\w.]+:\w+", given) is not None and not Path(given).exists()


FUNCTION = DatasetSpec(
    name="function",
    description="your own function that returns arrays or a dataset",
    read=_read,
    own=Own(recognises=_is_path, is_code=True),
)
