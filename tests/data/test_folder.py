"""A folder of the user's own images."""

import contextlib
import io
import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from infoplane.data import load_split, resize_images
from infoplane.errors import UserError


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


def constant(value, height=4, width=4):
    return np.full((height, width), value, np.uint8)


@pytest.fixture
def root(tmp_path):
    """Two classes; grey values tell the images apart."""
    for split, start in (("train", 0), ("test", 100)):
        save(tmp_path / split / "dog" / "b.png", constant(start + 3))
        save(tmp_path / split / "dog" / "a.png", constant(start + 2))
        save(tmp_path / split / "cat" / "z.png", constant(start + 1))
    return tmp_path


def test_classes_and_files_come_in_sorted_order(root):
    train = load_split("folder", "train", folder=root)
    assert train.class_names == ("cat", "dog")
    assert train.labels.tolist() == [0, 1, 1]
    assert train.images[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert load_split("folder", "test", folder=root).images[:, 0, 3, 3].tolist() == [101, 102, 103]


def test_grey_images_have_one_channel(root):
    assert load_split("folder", "train", folder=root).images.shape == (3, 1, 4, 4)


@pytest.mark.parametrize("split", ["train", "test"])
def test_one_coloured_image_in_either_split_makes_all_rgb(root, split):
    pixels = np.zeros((4, 4, 3))
    pixels[1, 2] = (10, 20, 30)
    save(root / split / "cat" / "z.png", pixels)
    for each in ("train", "test"):
        assert load_split("folder", each, folder=root).images.shape == (3, 3, 4, 4)
    image = load_split("folder", split, folder=root).images[0]
    assert image[:, 1, 2].tolist() == [10, 20, 30]
    assert image.sum() == 60


def test_the_test_split_alone_is_enough_to_measure(root):
    for path in sorted((root / "train").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / "train").rmdir()
    assert len(load_split("folder", "test", folder=root)) == 3
    with pytest.raises(UserError, match=r"holds test/ only; put the train images into .*/train/CLASS/"):
        load_split("folder", "train", folder=root)


def test_hidden_files_and_folders_are_passed_over(root):
    (root / "train" / ".DS_Store").write_bytes(b"x")
    (root / "train" / "cat" / ".DS_Store").write_bytes(b"x")
    (root / "train" / ".cache").mkdir()
    assert len(load_split("folder", "train", folder=root)) == 3


def test_images_of_different_size_are_named_with_the_way_out(root):
    save(root / "train" / "dog" / "b.png", constant(3, height=5, width=6))
    message = r"z.png is 4x4, .*b.png is 6x5; choose one with --data.image-size"
    for split in ("train", "test"):
        with pytest.raises(UserError, match=message):
            load_split("folder", split, folder=root)


def test_the_shorter_side_is_scaled_and_the_middle_kept(root):
    # Three vertical bands, 8 pixels wide each: the middle square of 24x8 is the middle band.
    save(root / "train" / "cat" / "z.png", np.repeat(np.array([[10, 200, 90]]), 8, axis=1).repeat(8, axis=0))
    save(root / "train" / "dog" / "a.png", np.repeat(np.array([[10], [200], [90]]), 8, axis=0).repeat(8, axis=1))
    train = load_split("folder", "train", folder=root, image_size=8)
    assert train.images.shape == (3, 1, 8, 8)
    assert train.images[0].unique().tolist() == [200]
    assert train.images[1].unique().tolist() == [200]
    smaller = load_split("folder", "train", folder=root, image_size=4)
    assert smaller.images[0, 0, :, 1:3].unique().tolist() == [200]


def test_shrinking_agrees_with_the_antialiased_scaling_of_other_data_sets(root):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    save(root / "train" / "cat" / "z.png", pixels)
    image = load_split("folder", "train", folder=root, image_size=8).images[:1]
    expected = resize_images(torch.from_numpy(pixels)[None, None], 8)
    # Pillow rounds after each of two passes, and its weights are integers.
    assert (image.int() - expected.int()).abs().max() <= 1


def test_images_already_of_the_size_are_kept_bit_by_bit(root):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 9), np.uint8)
    save(root / "train" / "cat" / "z.png", pixels)
    image = load_split("folder", "train", folder=root, image_size=9).images[0, 0]
    assert np.array_equal(image, pixels)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no image", "cannot identify image file"), (b"", "cannot identify image file"), (None, "truncated")],
)
def test_an_image_that_cannot_be_read_is_named(root, content, reason):
    path = root / "train" / "dog" / "b.png"
    if content is None:
        buffer = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4), np.uint8)).save(buffer, "png")
        content = buffer.getvalue()[:-25]
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path} cannot be read as an image \(.*{reason}") as caught:
        load_split("folder", "train", folder=root)
    assert str(caught.value).endswith("); replace or remove it")
    assert "\n" not in str(caught.value)


def test_sixteen_bit_images_are_refused_rather_than_clipped(root):
    path = root / "train" / "cat" / "z.png"
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(path)
    with pytest.raises(UserError, match=r"z.png has pixels of type 'I;16', not 8 bits a channel"):
        load_split("folder", "train", folder=root)


def test_a_palette_with_transparency_is_read_as_its_colours(root):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 12, 34, 56])
    image.save(root / "train" / "cat" / "z.png", transparency=bytes([0, 128]))
    assert load_split("folder", "train", folder=root).images[0, :, 0, 0].tolist() == [12, 34, 56]


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_classes_of_both_splits_must_agree(root, split, other):
    save(root / split / "emu" / "a.png", constant(9))
    with pytest.raises(UserError, match=rf"class 'emu' is in {split}/ but not in {other}/"):
        load_split("folder", "train", folder=root)


def test_empty_and_nested_folders_are_named(root):
    (root / "train" / "emu").mkdir()
    (root / "test" / "emu").mkdir()
    with pytest.raises(UserError, match=r"train/emu holds no images"):
        load_split("folder", "train", folder=root)
    save(root / "train" / "emu" / "more" / "a.png", constant(9))
    with pytest.raises(UserError, match=r"train/emu/more is a folder; images lie directly in"):
        load_split("folder", "train", folder=root)


def test_a_folder_without_splits_or_classes_is_told_what_to_hold(tmp_path):
    with pytest.raises(UserError, match=r"holds neither train/ nor test/; put the train images into"):
        load_split("folder", "train", folder=tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(UserError, match=r"train holds no class folders; put images into"):
        load_split("folder", "train", folder=tmp_path)


def test_the_same_folder_gives_the_same_tensors(root):
    first, second = (load_split("folder", "train", folder=root, image_size=3) for _ in range(2))
    assert torch.equal(first.images, second.images)


LITTER = ["Thumbs.db", "desktop.ini", "ehthumbs.db", "README.md", "readme.txt", "README", ".DS_Store", "Icon\r"]


@pytest.mark.parametrize("name", LITTER)
def test_what_systems_and_people_put_beside_images_is_passed_over(root, name):
    for folder in (root, root / "train", root / "train" / "cat", root / "test" / "dog"):
        (folder / name).write_bytes(b"no image")
    assert len(load_split("folder", "train", folder=root)) == 3


def test_folders_of_systems_are_no_classes(root):
    for name in ("__MACOSX", "$RECYCLE.BIN", "System Volume Information", "@eaDir"):
        (root / "train" / name).mkdir()
        (root / "test" / "cat" / name).mkdir()
    assert load_split("folder", "test", folder=root).class_names == ("cat", "dog")
    assert len(load_split("folder", "test", folder=root)) == 3


def test_pipes_and_sockets_are_passed_over(root):
    os.mkfifo(root / "train" / "cat" / "pipe.png")  # opening it would wait for ever
    os.mkfifo(root / "train" / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        with contextlib.chdir(root / "train" / "dog"):  # the path of a socket is short
            listening.bind("socket.png")
        assert len(load_split("folder", "train", folder=root)) == 3


def test_a_link_to_nothing_is_named(root):
    (root / "train" / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(UserError, match=r"gone.png cannot be read as an image \(.*No such file"):
        load_split("folder", "train", folder=root)


def test_a_folder_that_cannot_be_listed_is_named(root, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(UserError, match=r"train cannot be listed \(Permission denied\); check its permissions"):
        load_split("folder", "train", folder=root)


def test_names_that_are_not_utf8_are_shown_with_replacement_characters(root):
    for split in ("train", "test"):
        for name in (b"\xff", b"\xfe", b"caf\xe9"):
            save(Path(os.fsdecode(os.fsencode(root / split) + b"/" + name + b"/" + name + b".png")), constant(7))
    found = load_split("folder", "train", folder=root)
    assert found.class_names == ("caf\ufffd", "cat", "dog", "\ufffd", "\ufffd (2)")
    assert len(found) == 6


def test_a_broken_image_whose_name_is_no_text_is_one_line(root):
    path = os.fsencode(root / "train" / "cat") + b"/a\nb\xff\x1b[31m.png"
    Path(os.fsdecode(path)).write_bytes(b"no image")
    with pytest.raises(UserError) as caught:
        load_split("folder", "train", folder=root)
    assert "/cat/a\\nb\ufffd\\x1b[31m.png cannot be read as an image" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_class_whose_name_has_a_newline_keeps_to_one_line(root):
    for split in ("train", "test"):
        save(root / split / "a\nb" / "a.png", constant(7))
    assert load_split("folder", "train", folder=root).class_names[0] == "a\\nb"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM"])
def test_the_formats_of_images_are_these(root, kind):
    Image.fromarray(constant(40)).save(root / "train" / "cat" / "z.png", kind)
    image = load_split("folder", "train", folder=root).images[0]
    assert (image.int() - 40).abs().max() <= 1


@pytest.mark.parametrize("kind", ["TGA", "PCX", "ICO", "SGI", "EPS"])
def test_other_formats_are_refused(root, kind):
    picture = Image.fromarray(constant(40, 16, 16))
    picture.save(root / "train" / "cat" / "z.png", kind)
    with pytest.raises(UserError, match=r"z.png cannot be read as an image \(cannot identify image file as one of PNG"):
        load_split("folder", "train", folder=root)


def png_that_claims(width, height):
    """A PNG file of one grey line that says it is this large."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_500, 60_000])  # where Pillow warns, and where it refuses
def test_an_image_that_claims_to_be_enormous_is_refused(root, side):
    (root / "train" / "cat" / "z.png").write_bytes(png_that_claims(side, side))
    with pytest.raises(UserError, match=r"z.png cannot be read as an image \(Image size .* decompression bomb"):
        load_split("folder", "train", folder=root, image_size=4)


def test_images_that_would_not_fit_into_memory_are_refused(root, monkeypatch):
    monkeypatch.setattr("infoplane.data.images.LARGEST_SET", 47)
    with pytest.raises(UserError, match=r"3 images of 1 x 4 x 4 take .* GiB, more than .*; choose a smaller --data"):
        load_split("folder", "train", folder=root)
