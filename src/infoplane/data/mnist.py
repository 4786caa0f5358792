"""MNIST, read from its idx files.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

from infoplane.data.idx import idx_source, read_idx
from infoplane.data.spec import DatasetSpec, Publication, PublishedFile

_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")


MNIST = DatasetSpec(
    name="mnist",
    description="handwritten digits",
    class_names=tuple("0123456789"),
    image_size=28,
    channels=1,
    read=read_idx,
    publication=Publication(
        images={"train": 60_000, "test": 10_000},
        folders=("mnist", "MNIST/raw", ""),  # the second is torchvision's; other datasets have the same file names
        home="mnist",
        # Checksums of the content of the files in `sources`.
        files={
            "train": {
                "train-images-idx3-ubyte": PublishedFile(
                    47_040_016, "sha256:ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
                ),
                "train-labels-idx1-ubyte": PublishedFile(
                    60_008, "sha256:65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
                ),
            },
            "test": {
                "t10k-images-idx3-ubyte": PublishedFile(
                    7_840_016, "sha256:0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
                ),
                "t10k-labels-idx1-ubyte": PublishedFile(
                    10_008, "sha256:ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
                ),
            },
        },
        # Sizes and checksums: tensorflow/datasets, url_checksums/mnist.txt. Mirrors: pytorch/vision,
        # datasets/mnist.py; tensorflow/datasets.
        sources=(
            idx_source(
                "mnist",
                _MIRRORS,
                "train-images-idx3-ubyte.gz",
                9_912_422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            idx_source(
                "mnist",
                _MIRRORS,
                "train-labels-idx1-ubyte.gz",
                28_881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            idx_source(
                "mnist",
                _MIRRORS,
                "t10k-images-idx3-ubyte.gz",
                1_648_877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            idx_source(
                "mnist",
                _MIRRORS,
                "t10k-labels-idx1-ubyte.gz",
                4_542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
)
