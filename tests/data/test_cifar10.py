"""CIFAR-10's binary version: batches plain, compressed and inside the published archive; never pickles."""

import gzip
import io
import lzma
import tarfile

import numpy as np
import pytest
import torch

from infoplane.data import as_floats, load_split
from infoplane.errors import UserError

TRAIN_NAMES = [f"data_batch_{number}.bin" for number in range(1, 6)]


def batch(records, seed):
    """Records as the data set's page describes them: a label, then 1,024 red, green and blue bytes, row by row."""
    values = np.random.default_rng(seed)
    labels, pixels = values.integers(0, 10, (records, 1)), values.integers(0, 256, (records, 3072))
    return np.concatenate([labels, pixels], axis=1).astype(np.uint8).tobytes()


BATCHES = {name: batch(3, seed) for seed, name in enumerate([*TRAIN_NAMES, "test_batch.bin"])}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name, content in BATCHES.items():
        (folder / name).write_bytes(content)
    return folder


def archive(path, members):
    """Write a .tar.gz of `{member name: content}`; content that is text becomes a symbolic link to it."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return path


def published(batches):
    return {f"cifar-10-batches-bin/{name}": content for name, content in batches.items()}


def assert_holds(image_set, names):
    records = np.frombuffer(b"".join(BATCHES[name] for name in names), np.uint8).reshape(-1, 3073)
    assert len(image_set) == len(records)
    assert image_set.labels.tolist() == records[:, 0].tolist()
    for channel, row, column in ((0, 0, 1), (1, 7, 30), (2, 31, 31)):
        expected = records[:, 1 + channel * 1024 + row * 32 + column]
        assert image_set.images[:, channel, row, column].tolist() == expected.tolist()


@pytest.mark.parametrize(("split", "names"), [("train", TRAIN_NAMES), ("test", ["test_batch.bin"])])
def test_records_are_read_in_the_order_of_the_batches(folder, split, names):
    cifar = load_split("cifar10", split, folder=folder.parent)
    assert_holds(cifar, names)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress], ids=["gz", "xz"])
def test_compressed_batches_hold_the_same(folder, compress):
    path = folder / "test_batch.bin"
    path.with_name("test_batch.bin.gz" if compress is gzip.compress else "test_batch.bin.xz").write_bytes(
        compress(path.read_bytes())
    )
    path.unlink()
    assert_holds(load_split("cifar10", "test", folder=folder), ["test_batch.bin"])


def test_the_published_archive_is_read_without_extracting(tmp_path):
    scrambled = dict(sorted(published(BATCHES).items(), reverse=True))  # the original is in no useful order either
    archive(tmp_path / "cifar-10-binary.tar.gz", scrambled)
    assert_holds(load_split("cifar10", "train", folder=tmp_path), TRAIN_NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_paths_and_links_in_an_archive_lead_nowhere(tmp_path):
    (tmp_path / "secret").write_bytes(batch(3, 9))
    members = {
        "../cifar-10-batches-bin/test_batch.bin": batch(3, 7),
        "/cifar-10-batches-bin/test_batch.bin": batch(3, 8),
        "cifar-10-batches-bin/test_batch.bin": "../../secret",
    }
    (tmp_path / "root").mkdir()
    archive(tmp_path / "root" / "cifar-10-binary.tar.gz", members)
    with pytest.raises(UserError, match=r"cifar-10-binary.tar.gz holds no cifar-10-batches-bin/test_batch.bin"):
        load_split("cifar10", "test", folder=tmp_path / "root")


def test_a_damaged_archive_is_named(tmp_path):
    path = archive(tmp_path / "cifar-10-binary.tar.gz", published(BATCHES))
    whole = path.read_bytes()
    # The end of the file: cut off, and with the checksum of its content changed.
    for content in (whole[: len(whole) // 2], whole[:-4], whole[:-8] + bytes(8), b"<html>"):
        path.write_bytes(content)
        with pytest.raises(
            UserError,
            match=r"binary.tar.gz is cut short or damaged .*; to replace it and keep the old file: infoplane data",
        ):
            load_split("cifar10", "train", folder=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BATCHES["test_batch.bin"][:-1], "has 9218 bytes, not a whole number of records of 3073 bytes"),
        (b"", "has 0 bytes, not a whole number of records of 3073 bytes"),
        (BATCHES["test_batch.bin"][:3073] + b"\x0b" + bytes(3072), r"holds label 11 in record 1; classes are 0\.\.9"),
    ],
)
def test_damage_is_one_line_naming_the_file_and_the_cure(folder, tmp_path, content, message):
    (folder / "test_batch.bin").write_bytes(content)
    with pytest.raises(
        UserError, match=f"test_batch.bin {message}; to replace it and keep the old file: infoplane data cifar10"
    ):
        load_split("cifar10", "test", folder=folder)
    (tmp_path / "packed").mkdir()
    archive(tmp_path / "packed" / "cifar-10-binary.tar.gz", {"./cifar-10-batches-bin/test_batch.bin": content})
    with pytest.raises(UserError, match=f"cifar-10-binary.tar.gz test_batch.bin in it {message}"):
        load_split("cifar10", "test", folder=tmp_path / "packed")


def test_fewer_records_than_published_are_marked(folder):
    cifar = load_split("cifar10", "train", folder=folder)
    assert not cifar.complete
    assert cifar.note == f"15 of 50,000 train images are in {folder}"


def test_a_missing_batch_is_named(folder):
    (folder / "data_batch_4.bin").unlink()
    with pytest.raises(UserError, match=r"holds no data_batch_4.bin; run: infoplane data cifar10"):
        load_split("cifar10", "train", folder=folder)


@pytest.mark.parametrize("place", ["cifar-10-batches-py/data_batch_1", "cifar-10-python.tar.gz"])
def test_pickles_are_never_loaded(tmp_path, place):
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"c__builtin__\nexit\n(tR.")  # ends any process that unpickles it
    with pytest.raises(UserError, match=r"is pickled, and pickles are never loaded.*; run: infoplane data cifar10"):
        load_split("cifar10", "train", folder=tmp_path)


def test_the_real_training_set_is_complete_and_balanced(real_cifar10_train):
    assert real_cifar10_train.images.shape == (50_000, 3, 32, 32)
    assert real_cifar10_train.labels.bincount().tolist() == [5000] * 10
    assert real_cifar10_train.complete


def test_the_real_training_images_have_the_well_known_channel_means(real_cifar10_train):
    # 0.4914, 0.4822, 0.4465: the constants with which CIFAR-10 is normalised everywhere (four digits).
    planes = real_cifar10_train.images.flatten(2).sum(dim=2, dtype=torch.int32)
    means = (planes.double().mean(dim=0) / (255 * 1024)).tolist()
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=6e-5)


def test_the_real_test_set_begins_with_the_well_known_cat_and_ships(real_cifar10_test):
    names = [real_cifar10_test.class_names[label] for label in real_cifar10_test.labels[:6]]
    assert names == ["cat", "ship", "ship", "airplane", "frog", "frog"]
    assert real_cifar10_test.labels.bincount().tolist() == [1000] * 10


def test_real_images_are_right_way_up(real_cifar10_test):
    # Skies: the upper third is brighter than the lower one, while left and right do not differ. Rows taken for
    # columns would turn this around.
    mean = as_floats(real_cifar10_test.images).mean(dim=(0, 1))
    assert mean[:10].mean() - mean[-10:].mean() > 5 * (mean[:, :10].mean() - mean[:, -10:].mean()).abs()
