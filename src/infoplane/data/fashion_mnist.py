"""Fashion-MNIST, read from its idx files.

Source: H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms, arXiv:1708.07747.
"""

from infoplane.data.idx import idx_source, read_idx
from infoplane.data.spec import DatasetSpec, Publication, PublishedFile

_MIRRORS = (
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    # Without TLS; the checksum is verified all the same.
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


FASHION_MNIST = DatasetSpec(
    name="fashion-mnist",
    description="articles of clothing",
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    image_size=28,
    channels=1,
    read=read_idx,
    publication=Publication(
        images={"train": 60_000, "test": 10_000},
        folders=("fashion-mnist", "FashionMNIST/raw", ""),
        home="fashion-mnist",
        # md5 from the keys under which datasets-mila/datasets--fashionmnist keeps the decompressed files; its .gz files
        # have the md5 that Zalando Research publishes.
        files={
            "train": {
                "train-images-idx3-ubyte": PublishedFile(47_040_016, "md5:f4a8712d7a061bf5bd6d2ca38dc4d50a"),
                "train-labels-idx1-ubyte": PublishedFile(60_008, "md5:9018921c3c673c538a1fc5bad174d6f9"),
            },
            "test": {
                "t10k-images-idx3-ubyte": PublishedFile(7_840_016, "md5:8181f5470baa50b63fa0f6fddb340f0a"),
                "t10k-labels-idx1-ubyte": PublishedFile(10_008, "md5:15d484375f8d13e6eb1aabb0c3f46965"),
            },
        },
        # Sizes and checksums: tensorflow/datasets, url_checksums/fashion_mnist.txt. Mirrors: the authors' page;
        # keras-team/keras, datasets/fashion_mnist.py.
        sources=(
            idx_source(
                "fashion-mnist",
                _MIRRORS,
                "train-images-idx3-ubyte.gz",
                26_421_880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            idx_source(
                "fashion-mnist",
                _MIRRORS,
                "train-labels-idx1-ubyte.gz",
                29_515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            idx_source(
                "fashion-mnist",
                _MIRRORS,
                "t10k-images-idx3-ubyte.gz",
                4_422_102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            idx_source(
                "fashion-mnist",
                _MIRRORS,
                "t10k-labels-idx1-ubyte.gz",
                5_148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
    ),
)
