"""Comparing a copy on disk with what was published."""

import gzip

import pytest

from infoplane.data import verify
from infoplane.data.verification import AS_PUBLISHED
from infoplane.errors import UserError


def test_nothing_there_is_reported_per_split(tmp_path):
    checks = verify("mnist", tmp_path)
    assert [check.file.partition(",")[0] for check in checks] == ["train-images-idx3-ubyte", "t10k-images-idx3-ubyte"]
    assert not any(check.ok for check in checks)
    assert checks[0].message == f"not found in {tmp_path}"


def test_a_consistent_fragment_is_ok_and_says_what_it_is(mnist_folder):
    checks = verify("mnist", mnist_folder)[1:]
    assert [check.ok for check in checks] == [True, True]
    assert all(check.message.startswith("a fragment: 6 of 10,000 test images") for check in checks)


def test_each_damaged_file_is_reported_and_the_others_still_looked_at(mnist_folder):
    path = mnist_folder / "t10k-images-idx3-ubyte"
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes())[:-20])
    path.unlink()
    images, labels = verify("mnist", mnist_folder)[1:]
    assert not images.ok
    assert "is cut short or damaged" in images.message
    assert not labels.ok
    assert labels.message == "present, but not mnist's"


def test_digits_need_no_download():
    assert [(check.ok, check.message) for check in verify("digits")] == [(True, "comes with scikit-learn")]


def test_an_unknown_data_set_is_answered_with_the_known_ones():
    with pytest.raises(
        UserError, match="unknown dataset 'folder'; datasets are digits, mnist, fashion-mnist, cifar10, stl10"
    ):
        verify("folder")


def test_the_real_files_of_mnist_are_the_published_ones(real_data):
    checks = verify("mnist", real_data)
    assert [check.message for check in checks] == [AS_PUBLISHED] * 4


def test_one_changed_pixel_of_a_real_file_is_found(real_data, tmp_path):
    name = "t10k-images-idx3-ubyte"
    content = bytearray(gzip.decompress((real_data / "mnist" / f"{name}.gz").read_bytes()))
    content[5000] ^= 1
    (tmp_path / name).write_bytes(bytes(content))
    labels = "t10k-labels-idx1-ubyte.gz"
    (tmp_path / labels).write_bytes((real_data / "mnist" / labels).read_bytes())
    checks = verify("mnist", tmp_path)[1:]
    assert [check.ok for check in checks] == [False, True]
    assert checks[0].message == "present, but not mnist's"


def test_the_real_test_batch_of_cifar10_is_the_published_one(real_data, tmp_path):
    name = "test_batch.bin.xz"
    (tmp_path / name).symlink_to(real_data / "cifar-10-batches-bin" / name)
    assert [check.message for check in verify("cifar10", tmp_path)[1:]] == [AS_PUBLISHED]


def test_the_real_fragment_of_stl10_is_ok_but_its_training_half_is_missing(real_data):
    missing, images, labels = verify("stl10", real_data)
    assert not missing.ok
    assert images.ok
    assert labels.ok
    assert "152 of 8,000" in images.message
