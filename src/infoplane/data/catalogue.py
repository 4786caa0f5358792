"""The datasets that infoplane reads. To add one, write its file and add it to the list."""

from pathlib import Path

from infoplane.data.cifar10 import CIFAR10
from infoplane.data.digits import DIGITS
from infoplane.data.fashion_mnist import FASHION_MNIST
from infoplane.data.folder import FOLDER
from infoplane.data.function import FUNCTION
from infoplane.data.mnist import MNIST
from infoplane.data.npz import NPZ
from infoplane.data.spec import DatasetSpec
from infoplane.data.stl10 import STL10
from infoplane.data.twelve_bits import TWELVE_BITS
from infoplane.errors import UserError, unknown_name

# For --data, the first of the user's own kinds that recognises the value reads it; a folder is the fallback.
DATASETS: list[DatasetSpec] = [DIGITS, MNIST, FASHION_MNIST, CIFAR10, STL10, TWELVE_BITS, FUNCTION, NPZ, FOLDER]


def dataset_named(name: str) -> DatasetSpec:
    """Return the dataset with this name.

    Raises:
        UserError: there is no such dataset; the message lists all datasets.
    """
    return _named(name, DATASETS)


def shipped_dataset(name: str) -> DatasetSpec:
    """Return the published dataset with this name, which is not a user's own.

    Raises:
        UserError: there is no such dataset; the message lists all of them.
    """
    return _named(name, shipped_datasets())


def shipped_datasets() -> list[DatasetSpec]:
    """Return the published datasets, which are not a user's own; these can be verified and downloaded."""
    return [dataset for dataset in DATASETS if dataset.own is None]


def given_data(given: str) -> dict[str, str]:
    """Return the settings of the images that `--data` names: a published dataset by its name, or data of the user.

    Raises:
        UserError: a dataset and a folder of the user's own images have this name.
    """
    if given in [one.name for one in shipped_datasets()]:
        if (Path(given) / "test").is_dir():
            raise UserError(
                f"--data {given} is the name of a published dataset and of a folder of images here; type "
                f"--data ./{given} for the folder, or rename the folder"
            )
        return {"name": given}
    kinds = ((dataset.name, dataset.own) for dataset in DATASETS if dataset.own is not None)
    return next({"name": name, "folder": own.place(given)} for name, own in kinds if own.recognises(given))


def _named(name: str, datasets: list[DatasetSpec]) -> DatasetSpec:
    known = {dataset.name: dataset for dataset in datasets}
    if name not in known:
        raise unknown_name("dataset", name, known)
    return known[name]
