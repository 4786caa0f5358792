"""Small files in the published formats, and the real CIFAR-10 read once."""

import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.data.serving import Server

from infoplane.data import ImageSet, load_split


@pytest.fixture(autouse=True)
def no_data_but_the_tests(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the data folder and the cache of whoever runs the tests."""
    monkeypatch.delenv("INFOPLANE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def mnist_folder(tmp_path: Path) -> Path:
    """Six test images of MNIST's shape, with labels 0 to 5, under the names in which they are published."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    (folder / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4i", 2051, 6, 28, 28) + images.tobytes())
    (folder / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 2049, 6) + bytes(range(6)))
    return folder


@pytest.fixture(scope="session")
def real_cifar10_train(real_data: Path) -> ImageSet:
    """All 50,000 images: decompressing them takes seconds, so once."""
    return load_split("cifar10", "train", folder=real_data)


@pytest.fixture(scope="session")
def real_cifar10_test(real_data: Path) -> ImageSet:
    return load_split("cifar10", "test", folder=real_data)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("infoplane.data.transfer.PAUSE_SECONDS", 0)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
