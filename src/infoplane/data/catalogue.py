"""The datasets that infoplane reads. To add one, write its file and add it to the list."""

from infoplane.data.cifar10 import CIFAR10
from infoplane.data.digits import DIGITS
from infoplane.data.fashion_mnist import FASHION_MNIST
from infoplane.data.folder import FOLDER
from infoplane.data.function import FUNCTION
from infoplane.data.mnist import MNIST
from infoplane.data.npz import NPZ
from infoplane.data.spec import DatasetSpec
from infoplane.data.stl10 import STL10
from infoplane.errors import unknown_name

# Of the user's own, the first that recognises what --data was given reads it: a folder is what is nothing else.
DATASETS: list[DatasetSpec] = [DIGITS, MNIST, FASHION_MNIST, CIFAR10, STL10, FUNCTION, NPZ, FOLDER]


def dataset_named(name: str) -> DatasetSpec:
    """Return the dataset of this name.

    Raises:
        UserError: there is none; the message lists those that there are.
    """
    return _named(name, DATASETS)


def shipped_dataset(name: str) -> DatasetSpec:
    """Return the dataset of this name that is not the user's own.

    Raises:
        UserError: there is none; the message lists those that there are.
    """
    return _named(name, shipped_datasets())


def shipped_datasets() -> list[DatasetSpec]:
    """Return the datasets that are not the user's own: they can be verified, and fetched if need be."""
    return [dataset for dataset in DATASETS if dataset.own is None]


def own_data(given: str) -> tuple[str, str]:
    """Return the name of the kind of data that `--data` was given, and the place of the data."""
    kinds = ((dataset.name, dataset.own) for dataset in DATASETS if dataset.own is not None)
    return next((name, own.place(given)) for name, own in kinds if own.recognises(given))


def _named(name: str, datasets: list[DatasetSpec]) -> DatasetSpec:
    known = {dataset.name: dataset for dataset in datasets}
    if name not in known:
        raise unknown_name("dataset", name, known)
    return known[name]
