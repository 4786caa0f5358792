"""The reader of cue-conflict images: classes in names of files."""

import numpy as np
import pytest
from PIL import Image

from infoplane.data.conflict_folder import read_conflict_folder
from infoplane.errors import UserError

ANIMALS = ("cat", "elephant", "polar bear")


def saved(folder, *names, size=(40, 30)):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((size[1], size[0], 3), 10 * number, np.uint8)).save(path)
    return folder


def read(folder, class_names=ANIMALS, channels=3):
    return read_conflict_folder(folder, class_names, image_size=16, channels=channels)


def test_names_carry_both_classes_as_in_the_published_conflicts(tmp_path):
    saved(tmp_path, "cat/cat7-elephant3.png", "cat/cat7-polar_bear1.png", "elephant/elephant1-cat2.png", "cat-cat3.png")
    found = read(tmp_path)
    assert found.names == ["cat/cat7-elephant3.png", "cat/cat7-polar_bear1.png", "elephant/elephant1-cat2.png"]
    assert (found.shapes.tolist(), found.textures.tolist()) == ([0, 0, 1], [1, 2, 0])
    assert found.shape_sources.tolist() == [0, 0, 1]
    assert found.texture_sources.tolist() == [0, 1, 2]
    assert found.images.shape == (3, 3, 16, 16)
    assert found.images[:, 0, 0, 0].tolist() == [0, 10, 20]


def test_grey_runs_get_grey_images(tmp_path):
    assert read(saved(tmp_path, "cat-elephant.png"), channels=1).images.shape == (1, 1, 16, 16)


@pytest.mark.parametrize(
    ("name", "classes", "expected"),
    [
        ("30-71.png", tuple("0123456789"), (3, 7)),  # the class, then the number of the image
        ("3-7.png", tuple("0123456789"), (3, 7)),
        ("t-shirt1-cat2.png", ("cat", "t-shirt"), (1, 0)),
        ("11-1.png", ("1", "11"), (1, 0)),  # a class alone goes before a class and a number
    ],
)
def test_classes_with_digits_and_hyphens_are_read(tmp_path, name, classes, expected):
    found = read(saved(tmp_path, name), classes)
    assert (found.shapes.item(), found.textures.item()) == expected


@pytest.mark.parametrize(
    ("name", "classes", "words"),
    [
        ("cat1-dog2.png", ANIMALS, "'dog2' is no class of the run; name it SHAPE-TEXTURE with classes of the run"),
        ("lynx-cat.png", ANIMALS, "'lynx' is no class"),
        ("cat.png", ANIMALS, "the name does not carry two classes"),
        ("cat7.5-elephant.png", ANIMALS, "'cat7.5' is no class"),
        ("Cat-elephant.png", ANIMALS, "'Cat' is no class"),
        ("112-1.png", ("1", "11"), "fits several pairs of classes"),
        (
            "cat1-cat2.png",
            ANIMALS,
            "holds no image of a shape and .*; 1 of one class alone is left out",
        ),
    ],
)
def test_names_that_do_not_fit_are_one_clear_line(tmp_path, name, classes, words):
    with pytest.raises(UserError, match=words) as complaint:
        read(saved(tmp_path, name), classes)
    assert str(tmp_path) in str(complaint.value)
    assert "\n" not in str(complaint.value)


def test_missing_and_empty_folders_and_files_that_are_no_images_are_named(tmp_path):
    with pytest.raises(UserError, match="none is no folder"):
        read(tmp_path / "none")
    with pytest.raises(UserError, match=r"holds no image of a shape and a texture of different classes$"):
        read(tmp_path)
    (tmp_path / "cat-elephant.png").write_text("no image")
    with pytest.raises(UserError, match=r"cat-elephant\.png cannot be read as an image"):
        read(tmp_path)
