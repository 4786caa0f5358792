"""Record the data of a run: class names, whether the data are incomplete, and checksums of the images."""

import hashlib
from typing import Any

from infoplane.data import ImageSet
from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder

KEY = "data"  # key in the environment of a run


def keep_data(run: RunFolder, train: ImageSet | None, test: ImageSet) -> None:
    """Write the facts about the data to the run's `config.json`, or compare them with those written there.

    Args:
        run: a run that has begun.
        train: the training images, or None.
        test: all test images.

    Raises:
        UserError: the run began with other images.
    """
    found = [one for one in (train, test) if one is not None]
    record: dict[str, Any] = {
        "name": test.name,
        "classes": list(test.class_names),
        "fragment": "; ".join(one.note.partition(" are in ")[0] for one in found if not one.complete),
    }
    record |= {one.split: len(one) for one in found}
    record |= {_checksum_key(one.split): _checksum(one) for one in found}
    kept = run.read_config()["environment"].get(KEY)
    if kept is None:
        run.keep(**{KEY: record})
    for images in found:
        _compare(run, kept, images, record[_checksum_key(images.split)])


def check_data(run: RunFolder, test: ImageSet) -> None:
    """Compare the test images with those in the run's `config.json`, if they are recorded there.

    Raises:
        UserError: the run began with other images.
    """
    _compare(run, run.read_config()["environment"].get(KEY), test, _checksum(test))


def _compare(run: RunFolder, kept: Any, images: ImageSet, checksum: str) -> None:
    if not isinstance(kept, dict):
        return
    if kept.get(_checksum_key(images.split), checksum) != checksum:
        raise UserError(
            f"{images.source}: the {images.split} images are not those that {run.path} began with; put the old ones "
            "back, or choose another folder with --run"
        )
    if kept.get("classes", list(images.class_names)) != list(images.class_names):
        raise UserError(
            f"{images.source}: the classes are {', '.join(images.class_names)[:100]}, not those that {run.path} began "
            "with; put the old ones back, or choose another folder with --run"
        )


def _checksum_key(split: str) -> str:
    return f"{split}_sha256"


def _checksum(images: ImageSet) -> str:
    content = hashlib.sha256(repr(tuple(images.images.shape)).encode())
    for tensor in (images.images, images.labels):
        content.update(tensor.contiguous().cpu().numpy().data)
    return content.hexdigest()
