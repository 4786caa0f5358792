"""Read a user's own `.npz` file of arrays."""

import math
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from infoplane.data.spec import SPLITS, DatasetSpec, Own, Wanted
from infoplane.errors import UserError
from infoplane.user_code import described

if TYPE_CHECKING:
    import numpy as np

    from infoplane.data.images import ImageSet


def _read(spec: DatasetSpec, wanted: Wanted) -> "ImageSet":
    """Read one split of a `.npz` file.

    The file holds `train_images`, `train_labels`, `test_images` and `test_labels`, or `images` and `labels`, which are
    used as the test split. It may also hold `class_names`. Other arrays are not read, and pickled ones never are.
    `arrays.part_of_arrays` says which arrays are valid.

    Raises:
        UserError: the file is damaged, a member is missing or too large, or its content is not as described.
    """
    from infoplane.data.arrays import image_set, labels_alone, part_of_arrays

    path, split = Path(wanted.place), wanted.split
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
    part = part_of_arrays(arrays[split, "images"], arrays[split, "labels"], class_names, where, wanted.image_size)
    others = [labels_alone(labels) for (one, _), labels in arrays.items() if one != split]
    return image_set(part, split, spec.name, where, others)


def _prefixes(path: Path, names: set[str], split: str) -> dict[str, str]:
    """Return the prefix of "images" and "labels" for each split that the file holds."""
    found = {one: f"{one}_" for one in SPLITS if {f"{one}_images", f"{one}_labels"} <= names}
    if not found and {"images", "labels"} <= names:
        found = {"test": ""}
    if split not in found:
        held = ", ".join(sorted(names)[:10]) or "nothing"
        plain = ", or images and labels" if split == "test" else ""
        raise UserError(f"{path} must hold {split}_images and {split}_labels{plain}; it holds {held}"[:600])
    return found


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> "np.ndarray":
    """Read one array, after checking the size that its header states."""
    import numpy as np

    from infoplane.data.images import LARGEST_SET

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


NPZ = DatasetSpec(
    name="npz",
    description="your own .npz file of arrays",
    read=_read,
    own=Own(recognises=lambda given: Path(given).suffix.lower() == ".npz" and not Path(given).is_dir()),
)
