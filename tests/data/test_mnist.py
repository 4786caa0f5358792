"""MNIST: idx files, small ones written from the format's description, and the real ones."""

import gzip
import lzma

import numpy as np
import pytest
import torch

from infoplane.data import as_floats, load_split
from infoplane.errors import UserError

TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx_bytes(array):
    """The idx file of an array of unsigned bytes, written from the format's description."""
    return bytes([0, 0, 8, array.ndim]) + header(*array.shape) + array.tobytes()


def header(*words):
    return b"".join(word.to_bytes(4, "big") for word in words)


def test_idx_records_are_read_in_order(mnist_folder):
    mnist = load_split("mnist", "test", folder=mnist_folder)
    expected = np.random.default_rng(0).integers(0, 256, (6, 28, 28), np.uint8)
    assert np.array_equal(mnist.images[:, 0].numpy(), expected)
    assert mnist.labels.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress], ids=["gz", "xz"])
def test_compressed_files_hold_the_same(mnist_folder, compress):
    plain = load_split("mnist", "test", folder=mnist_folder)
    suffix = ".gz" if compress is gzip.compress else ".xz"
    for name in (IMAGES, LABELS):
        path = mnist_folder / name
        (mnist_folder / (name + suffix)).write_bytes(compress(path.read_bytes()))
        path.unlink()
    compressed = load_split("mnist", "test", folder=mnist_folder)
    assert torch.equal(plain.images, compressed.images)
    assert torch.equal(plain.labels, compressed.labels)


@pytest.mark.parametrize("place", ["", "mnist", "MNIST/raw"])
def test_the_usual_folders_are_looked_into(mnist_folder, tmp_path, place):
    target = tmp_path / "root" / place
    target.parent.mkdir(parents=True, exist_ok=True)
    mnist_folder.rename(target)
    assert len(load_split("mnist", "test", folder=tmp_path / "root")) == 6


def test_fewer_images_than_published_are_marked(mnist_folder):
    mnist = load_split("mnist", "test", folder=mnist_folder)
    assert not mnist.complete
    assert mnist.note.startswith("6 of 10,000 test images are in ")


def broken_gzip(content):
    packed = bytearray(gzip.compress(content, mtime=0))
    packed[len(packed) // 2] ^= 0xFF
    return bytes(packed)


PIXELS = np.zeros((6, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (IMAGES, idx_bytes(PIXELS)[:-1], "has 4719 bytes where its header promises 4720"),
        (IMAGES, idx_bytes(PIXELS) + b"0", "has 4721 bytes where its header promises 4720"),
        (IMAGES, idx_bytes(PIXELS)[:9], "is cut short: 9 bytes"),
        (IMAGES, b"", "is cut short: 0 bytes"),
        (IMAGES, header(2049, 6, 28, 28), "magic number 2049 instead of 2051"),
        (IMAGES, header(2051, 2**32 - 1, 28, 28), "where its header promises"),
        (IMAGES, idx_bytes(PIXELS[:, :20, :20]), r"shape \(20, 20\) instead of \(28, 28\)"),
        (LABELS, idx_bytes(np.zeros(5, np.uint8)), "holds 5 labels for 6 images in t10k-images-idx3-ubyte"),
        (LABELS, idx_bytes(np.array([0, 1, 2, 3, 4, 10], np.uint8)), r"holds label 10; classes are 0\.\.9"),
        (IMAGES + ".gz", gzip.compress(idx_bytes(PIXELS), mtime=0)[:-12], "is cut short or damaged"),
        (IMAGES + ".gz", broken_gzip(idx_bytes(PIXELS)), "is cut short or damaged"),
        (IMAGES + ".gz", b"<html>not found</html>", "is cut short or damaged"),
        (IMAGES + ".xz", lzma.compress(idx_bytes(PIXELS))[:-12], "is cut short or damaged"),
        (IMAGES + ".xz", b"<html>not found</html>", "is cut short or damaged"),
    ],
)
def test_damage_is_one_line_naming_the_file_and_the_cure(mnist_folder, name, content, message):
    (mnist_folder / name.partition(".")[0]).unlink()
    (mnist_folder / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as caught:
        load_split("mnist", "test", folder=mnist_folder)
    assert str(caught.value).startswith(f"{mnist_folder / name} ")
    assert "; to replace it and keep the old file: infoplane data mnist" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_no_traceback(mnist_folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)  # the superuser may read anything
    with pytest.raises(UserError, match=r"ubyte cannot be read \(Permission denied\); check its permissions"):
        load_split("mnist", "test", folder=mnist_folder)


@pytest.mark.parametrize(("split", "counts"), [("train", TRAIN_COUNTS), ("test", TEST_COUNTS)])
def test_the_real_digits_are_complete_with_the_published_class_counts(real_data, split, counts):
    mnist = load_split("mnist", split, folder=real_data)
    assert mnist.images.shape == (sum(counts), 1, 28, 28)
    assert mnist.labels.bincount().tolist() == counts
    assert mnist.complete
    assert mnist.note == ""


def test_the_real_training_images_have_the_well_known_mean_and_deviation(real_data):
    # 0.1307 and 0.3081, the constants with which MNIST is normalised everywhere (four digits).
    pixels = as_floats(load_split("mnist", "train", folder=real_data).images)
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)


def test_real_digits_at_another_size_keep_their_brightness(real_data):
    mnist = load_split("mnist", "test", folder=real_data)
    larger = load_split("mnist", "test", folder=real_data, image_size=32)
    assert larger.images.shape == (10_000, 1, 32, 32)
    assert torch.equal(larger.labels, mnist.labels)
    means = [as_floats(each.images).mean(dim=(1, 2, 3)) for each in (mnist, larger)]
    # Resampling moves an image's mean by rounding and edges alone: far less than 0.01 of the range.
    assert (means[0] - means[1]).abs().max() < 0.01
