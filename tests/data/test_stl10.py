"""STL-10's binary files: columns before rows, labels from one, and the real fragment."""

import numpy as np
import pytest

from infoplane.data import as_floats, load_split
from infoplane.errors import UserError


@pytest.fixture
def folder(tmp_path):
    """Two test images, written pixel by pixel where the data set's page puts them, with labels 1 and 10."""
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    content = bytearray(2 * 3 * 96 * 96)
    for image, channel, row, column, value in ((0, 0, 2, 5, 11), (0, 2, 95, 0, 22), (1, 1, 0, 95, 33)):
        content[((image * 3 + channel) * 96 + column) * 96 + row] = value
    (folder / "test_X.bin").write_bytes(bytes(content))
    (folder / "test_y.bin").write_bytes(bytes([1, 10]))
    return folder


def test_columns_are_stored_one_after_the_other(folder):
    images = load_split("stl10", "test", folder=folder.parent).images
    assert images.is_contiguous()
    found = [(*place, int(images[tuple(place)])) for place in images.nonzero().tolist()]
    assert found == [(0, 0, 2, 5, 11), (0, 2, 95, 0, 22), (1, 1, 0, 95, 33)]


def test_labels_are_counted_from_zero(folder):
    stl = load_split("stl10", "test", folder=folder)
    assert [stl.class_names[label] for label in stl.labels] == ["airplane", "truck"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("test_X.bin", bytes(27_648 * 2 - 1), "has 55295 bytes, not a whole number of images of 27648 bytes"),
        ("test_X.bin", b"", "has 0 bytes, not a whole number of images of 27648 bytes"),
        ("test_y.bin", bytes([1]), "holds 1 labels for 2 images in test_X.bin"),
        ("test_y.bin", bytes([1, 1, 1]), "holds 3 labels for 2 images in test_X.bin"),
        ("test_y.bin", bytes([0, 1]), r"holds label 0; classes are 1\.\.10"),
        ("test_y.bin", bytes([1, 11]), r"holds label 11; classes are 1\.\.10"),
    ],
)
def test_damage_is_one_line_naming_the_file_and_the_cure(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} {message}; to replace it and keep the old file: infoplane data stl10"):
        load_split("stl10", "test", folder=folder)


def test_a_whole_copy_wins_over_a_fragment_beside_it(folder):
    fragment = folder.parent / "stl10-partial"
    fragment.mkdir()
    (fragment / "test_X.bin").write_bytes(bytes(27_648))
    (fragment / "test_y.bin").write_bytes(bytes([1]))
    assert len(load_split("stl10", "test", folder=folder.parent)) == 2


def test_the_real_fragment_is_usable_and_marked(real_data):
    stl = load_split("stl10", "test", folder=real_data)
    assert stl.images.shape == (152, 3, 96, 96)
    assert stl.labels.bincount().tolist() == [17, 26, 12, 19, 15, 16, 10, 15, 11, 11]
    assert not stl.complete
    assert stl.note.startswith("152 of 8,000 test images are in ")


def test_the_real_fragment_has_no_training_images_and_says_so(real_data):
    with pytest.raises(UserError, match=r"stl10-partial holds no train_X.bin, train_y.bin; run: infoplane data stl10"):
        load_split("stl10", "train", folder=real_data)


def test_real_images_agree_with_numpy(real_data):
    raw = np.fromfile(real_data / "stl10-partial" / "test_X.bin", np.uint8).reshape(-1, 3, 96, 96)
    assert np.array_equal(load_split("stl10", "test", folder=real_data).images, raw.transpose(0, 1, 3, 2))


def test_real_images_are_right_way_up(real_data):
    # Skies: the upper third is brighter than the lower one, while left and right do not differ. Rows taken for
    # columns would turn this around.
    mean = as_floats(load_split("stl10", "test", folder=real_data).images).mean(dim=(0, 1))
    assert mean[:32].mean() - mean[-32:].mean() > 5 * (mean[:, :32].mean() - mean[:, -32:].mean()).abs()


def test_real_images_can_be_halved(real_data):
    stl = load_split("stl10", "test", folder=real_data)
    halved = load_split("stl10", "test", folder=real_data, image_size=48)
    assert halved.images.shape == (152, 3, 48, 48)
    assert as_floats(halved.images).mean().item() == pytest.approx(as_floats(stl.images).mean().item(), abs=2e-3)
