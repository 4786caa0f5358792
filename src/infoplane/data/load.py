"""Load a split of any dataset by name."""

from dataclasses import replace
from pathlib import Path

from infoplane.checks import check_at_least
from infoplane.data.catalogue import dataset_named
from infoplane.data.files import find_file, search_roots
from infoplane.data.images import ImageSet, resize_images
from infoplane.data.spec import SPLITS, Publication, Wanted
from infoplane.errors import UserError


def load_split(
    name: str, split: str, *, folder: Path | str | None = None, image_size: int | None = None, seed: int = 0
) -> ImageSet:
    """Return one split of a dataset as bytes, in the published order.

    Args:
        name: name of one of `catalogue.DATASETS`.
        split: "train" or "test".
        folder: where to look first, before `INFOPLANE_DATA` and the user's cache; for data of the user's own, the
            folder or file itself, or "package.module:function".
        image_size: pixels of a side after bilinear, antialiased scaling; by default 28 for digits, else as stored.
        seed: decides how digits, which come in one piece, are split, and what a function of the user's draws.

    Raises:
        ValueError: `image_size` is below 1.
        UserError: the name or split is unknown, or the data is missing or damaged.
    """
    spec = dataset_named(name)
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if image_size is not None:
        check_at_least(image_size, 1, name="image_size")
    if spec.own is not None and not folder:
        raise UserError(f"the dataset {name!r} is your own; name it with --data")
    if spec.own is None and folder is not None and not Path(folder).is_dir():
        raise UserError(f"{folder} is no folder; name the folder that holds the data")
    place = "" if folder is None else str(folder)
    if spec.publication is not None:
        place = str(_locate(name, spec.publication, split, search_roots(None if folder is None else Path(folder))))
    image_set = spec.read(spec, Wanted(split, place, image_size, seed))
    if image_size is None:
        return image_set
    return replace(image_set, images=resize_images(image_set.images, image_size))


def _locate(name: str, publication: Publication, split: str, roots: list[Path]) -> Path:
    for root in roots:
        if location := publication.locate(root, split):
            return location
    problem = f"{name} ({split}) was not found in {', '.join(str(root) for root in roots)}"
    if partial := [sentence for root in roots for sentence in _partial_copies(publication, split, root)]:
        problem += f"; {'; '.join(partial)}"
    pickles = (root / pickle for root in roots for pickle in publication.pickles)
    if pickled := next((path for path in pickles if path.exists()), None):
        problem += f"; {pickled} is pickled, and pickles are never loaded, as they can run code"
    raise UserError(f"{problem}; run: infoplane data {name}")


def _partial_copies(publication: Publication, split: str, root: Path) -> list[str]:
    """Describe each folder that holds some files of the dataset, with the files of the split that it lacks."""
    sentences = []
    for folder in (root / name for name in publication.folders):
        if any(find_file(folder, name) for name in publication.by_name):
            lacking = [name for name in publication.files[split] if not find_file(folder, name)]
            sentences.append(f"{folder} holds no {', '.join(lacking)}")
    return sentences
