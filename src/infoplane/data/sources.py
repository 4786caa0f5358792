"""Where the published files of data sets are downloaded from, with their sizes and checksums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infoplane.data import cifar10, stl10


@dataclass(frozen=True)
class Source:
    """One published file: its place below the data folder, its size in bytes and checksum, and its mirrors."""

    path: str
    sha256: str
    size: int
    urls: tuple[str, ...]


_MNIST = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
_FASHION_MNIST = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    # Without TLS; the checksum still decides whether it is kept.
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


def _idx(dataset: str, mirrors: tuple[str, ...], file: str, size: int, sha256: str) -> Source:
    return Source(f"{dataset}/{file}", sha256, size, tuple(mirror + file for mirror in mirrors))


# Sizes and checksums: tensorflow/datasets, url_checksums/{mnist,fashion_mnist,cifar10,stl10}.txt. Mirrors: the
# authors' pages; pytorch/vision, datasets/mnist.py; tensorflow/datasets (MNIST); keras-team/keras,
# datasets/fashion_mnist.py; tensorflow/swift-models (CIFAR-10).
SOURCES: Mapping[str, Sequence[Source]] = {
    "mnist": tuple(
        _idx("mnist", _MNIST, *file)
        for file in (
            (
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            ("train-labels-idx1-ubyte.gz", 28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            ("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        )
    ),
    "fashion-mnist": tuple(
        _idx("fashion-mnist", _FASHION_MNIST, *file)
        for file in (
            (
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            ("train-labels-idx1-ubyte.gz", 29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            ("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        )
    ),
    "cifar10": (
        Source(
            cifar10.ARCHIVE,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            170_052_171,
            (
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/cifar-10-binary.tar.gz",
            ),
        ),
    ),
    "stl10": (
        Source(
            stl10.ARCHIVE,
            "f31fd99273a1acb8609c8db427cebb1de3f71de77758cdc0e22956e1289b9866",
            2_640_397_119,
            (
                "https://cs.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                # Without TLS; the checksum still decides whether it is kept.
                "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
            ),
        ),
    ),
}
