"""The user's own data: .npz files, and functions that return arrays, datasets or image sets."""

import io
import os
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset

from infoplane.data import ImageSet, load_split
from infoplane.errors import UserError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6, 5, 4, 3), np.uint8)  # channels last
LABELS = np.array([0, 1, 2, 0, 1, 2])
FIRST = IMAGES.transpose(0, 3, 1, 2)


@pytest.fixture
def returning(monkeypatch):
    """Return a function that makes `own:data` a function of the given result, and loads a split of it."""
    module = type(sys)("own")
    monkeypatch.setitem(sys.modules, "own", module)

    def load(result, split="test", **more):
        module.data = result if callable(result) and not hasattr(result, "__len__") else lambda: result
        return load_split("function", split, folder="own:data", **more)

    return load


def npz(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def load_npz(path, split="test", **more):
    return load_split("npz", split, folder=path, **more)


def complaint(load, *given, **more):
    with pytest.raises(UserError) as caught:
        load(*given, **more)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# forms of images


FORMS = {
    "channels last": IMAGES,
    "channels first": FIRST,
    "floats": IMAGES / 255,
    "single precision": (IMAGES / 255).astype(np.float32),
    "half precision": (IMAGES / 255).astype(np.float16),
    "big-endian": (IMAGES / 255).astype(">f4"),
    "a tensor": torch.from_numpy(FIRST.copy()),
    "a tensor of floats": torch.from_numpy(FIRST.copy()).float() / 255,
    "not contiguous": np.asfortranarray(IMAGES),
}


@pytest.mark.parametrize("images", FORMS.values(), ids=FORMS)
def test_every_form_of_an_image_gives_the_same_bytes(images, returning):
    found = returning((images, LABELS))
    assert np.array_equal(found.images, FIRST)
    assert found.images.is_contiguous()
    assert found.labels.tolist() == LABELS.tolist()
    assert found.class_names == ("0", "1", "2")
    assert found.note == ""


def test_grey_images_need_no_channels(returning):
    assert np.array_equal(returning((IMAGES[..., 0], LABELS)).images[:, 0], IMAGES[..., 0])


def test_floats_between_the_steps_of_a_byte_are_rounded_and_that_is_said(returning):
    images = RNG.random((6, 5, 4)).astype(np.float32)
    found = returning((images, LABELS))
    assert (found.images[:, 0].float() / 255 - torch.from_numpy(images)).abs().max() <= 0.5 / 255 + 1e-6
    assert found.note == "own:data: pixels were rounded to 8 bits"


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (IMAGES * 1.0, "must lie in [0, 1], found 0 to 255; leave normalisation to the model"),
        (IMAGES / 127.5 - 1, "must lie in [0, 1], found -1"),
        (np.full((6, 5, 4), np.nan), "found nan to nan"),
        (IMAGES.astype(np.int64), "pixels must be uint8, or floats in [0, 1], found int64"),
        (IMAGES > 3, "found bool"),
        (IMAGES + 0j, "found complex128"),
        (IMAGES.astype(object), "found object"),
        (IMAGES // 255, "all pixels are 0 or 1 in uint8, where white is 255; multiply them by 255"),
        (IMAGES[:, :3, :, :], "in the shape (3, 4, 3) either end could be the channels"),
        (IMAGES[..., :2], "the shape of an image must be (height, width), with 1 or 3 channels"),
        (IMAGES.reshape(6, -1), "the shape of an image must be"),
        (IMAGES[:0], "0 images but 6 labels"),
        (IMAGES[:, :0], "the shape of an image must be"),
        (IMAGES[:5], "5 images but 6 labels"),
    ],
)
def test_images_that_could_be_anything_are_refused(images, words, returning):
    assert words in complaint(returning, (images, LABELS))


# labels and names


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"])
def test_labels_are_integers_of_any_type(kind, returning):
    assert returning((IMAGES, LABELS.astype(kind))).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("labels", [LABELS[:, None], LABELS.tolist(), torch.from_numpy(LABELS)])
def test_labels_may_be_a_column_a_list_or_a_tensor(labels, returning):
    assert returning((IMAGES, labels)).labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS + 1, "labels begin at 1; count classes from 0, or give the names of all classes"),
        (LABELS - 1, "labels must not be negative, found -1"),
        (LABELS * 1.0, "labels must be integers, found float64"),
        (np.eye(6), "labels must have the shape (n,), found (6, 6)"),
        (LABELS.astype(str), "labels must be integers, found <U21"),
        (LABELS.astype(np.uint64) + np.uint64(2**63), "labels must be numbers of classes"),
        (LABELS * 10**9, "the largest label is 2000000000; labels must be numbers of classes"),
        (["a"] * 6, "labels is a list; give a numpy array or a torch tensor"),
        (None, "labels is a NoneType"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, words, returning):
    assert words in complaint(returning, (IMAGES, labels))


def test_names_of_classes_are_kept(returning):
    assert returning((IMAGES, LABELS, ["cat", "dog", "e\nmu"])).class_names == ("cat", "dog", "e\\nmu")
    names = {"images": IMAGES, "labels": LABELS, "class_names": ("a", "b", "c", "d")}
    assert returning(names).class_names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "b"], "labels must lie in 0..1, found 0 to 2"),
        ("abc", "class names must be a list of strings"),
        ([1, 2, 3], "class names must be a list of strings"),
        (["a", "b", "a"], "class names must differ from each other"),
    ],
)
def test_names_that_do_not_fit_are_refused(names, words, returning):
    assert words in complaint(returning, (IMAGES, LABELS, names))


# splits


BOTH = ((IMAGES[:4], LABELS[:4]), (IMAGES[4:], LABELS[4:] - 1))


@pytest.mark.parametrize("both", [BOTH, dict(zip(("train", "test"), BOTH, strict=True)), list(BOTH)])
def test_a_function_may_return_both_splits(both, returning):
    train, test = (returning(both, split) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 1, 2, 0]
    assert test.labels.tolist() == [0, 1]
    assert train.class_names == test.class_names == ("0", "1", "2")
    assert (train.split, test.split) == ("train", "test")


def test_a_function_may_be_asked_for_one_split(returning):
    asked = []

    def data(split, more=1):
        asked.append(split)
        return BOTH[split == "test"]

    assert len(returning(data, "train")) == 4
    assert len(returning(data)) == 2
    assert asked == ["train", "test"]


def test_one_split_alone_is_the_test_split(returning):
    assert len(returning((IMAGES, LABELS))) == 6
    assert 'has no train split; return {"train": ..., "test": ...}' in complaint(returning, (IMAGES, LABELS), "train")


def test_what_is_drawn_from_the_global_generator_is_the_same_every_time(returning):
    def data():
        return (torch.rand(6, 4, 5), torch.randint(3, (6,)).sort().values - 0)

    torch.manual_seed(1)
    first = returning(data)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(returning(data).images, first.images)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(returning(data, seed=1).images, first.images)


# datasets of pairs


class Pairs:
    """A dataset as torch's and torchvision's are."""

    classes = ("cat", "dog", "emu")

    def __init__(self, images, labels=LABELS):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class HuggingFace(Pairs):
    """A dataset of dictionaries, with its features."""

    features = {"image": None, "label": type("ClassLabel", (), {"names": ["cat", "dog", "emu"]})}  # noqa: RUF012

    def __init__(self, images, keys=("image", "label")):
        super().__init__(images)
        self.keys = keys

    def __getitem__(self, index):
        return dict(zip(self.keys, super().__getitem__(index), strict=True))


PILLOW = [Image.fromarray(one) for one in IMAGES]


@pytest.mark.parametrize(
    "dataset",
    [
        Pairs(IMAGES),
        Pairs([torch.from_numpy(one.copy()).float() / 255 for one in FIRST]),
        Pairs(PILLOW, LABELS.tolist()),
        Pairs(PILLOW, [torch.tensor(label) for label in LABELS]),
        Subset(Pairs(PILLOW), range(6)),
        HuggingFace(PILLOW),
    ],
)
def test_datasets_of_pairs_are_taken_with_the_names_of_their_classes(dataset, returning):
    found = returning(lambda: dataset)
    assert np.array_equal(found.images, FIRST)
    assert found.labels.tolist() == LABELS.tolist()
    assert found.class_names == ("cat", "dog", "emu")


def test_a_dataset_without_names_counts_its_classes(returning):
    dataset = TensorDataset(torch.from_numpy(FIRST.copy()), torch.from_numpy(LABELS))
    assert returning(lambda: dataset).class_names == ("0", "1", "2")
    assert len(returning(lambda: (dataset, dataset), "train")) == 6
    assert len(returning(lambda: {"train": dataset, "test": dataset, "extra": 3})) == 6
    assert len(returning(lambda: list(zip(IMAGES, LABELS.tolist(), strict=True)))) == 6


def test_grey_and_coloured_images_of_one_dataset_become_rgb(returning):
    found = returning(lambda: Pairs([PILLOW[0].convert("L"), *PILLOW[1:]]))
    assert found.images.shape == (6, 3, 5, 4)
    assert torch.equal(found.images[0, 0], found.images[0, 2])


def test_images_of_different_size_are_resized_or_refused(returning):
    mixed = Pairs([PILLOW[0].resize((9, 8)), *PILLOW[1:]])
    assert "images differ in size: 0 is 9x8 but 1 is 4x5; choose one with --data.image-size" in complaint(
        returning, lambda: mixed
    )
    assert returning(lambda: mixed, image_size=4).images.shape == (6, 3, 4, 4)
    assert returning((IMAGES, LABELS), image_size=8).images.shape == (6, 3, 8, 8)


class Broken(Pairs):
    def __getitem__(self, index):
        raise KeyError("no\nimage")


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Broken(IMAGES), "reading the dataset raised KeyError: 'no\\nimage'; correct it"),
        (Pairs([Image.new("I;16", (4, 4))] * 6), "image 0 has pixels of type 'I;16', not 8 bits a channel"),
        (Pairs(IMAGES, ["cat"] * 6), "labels must be integers, found 'cat'"),
        (Pairs(IMAGES, [1.5] * 6), "labels must be integers, found 1.5"),
        (Pairs(["a.png"] * 6), "image 0 is a str; give a numpy array or a torch tensor"),
        (HuggingFace(PILLOW, ("picture", "label")), "must have image (or img) and label, found picture, label"),
        (Pairs([]), "holds no images"),
        (list(IMAGES), "item 0 is a ndarray, not a pair of image and label"),
        (DataLoader(Pairs(IMAGES)), "returned a DataLoader; give its dataset; return an ImageSet, (images"),
        (iter([]), "returned a list_iterator; return an ImageSet"),
        (None, "returned a NoneType"),
        ("abc", "returned a str"),
        ({"x": 1}, 'returned a dict of x; it must have "train" and "test"'),
        ({"images": IMAGES}, "returned a dict without labels"),
    ],
)
def test_what_is_no_data_is_one_line(result, words, returning):
    assert words in complaint(returning, lambda: result)


def test_a_function_that_raises_is_one_line(returning):
    assert "the data own:data raised ZeroDivisionError: division by zero" in complaint(returning, lambda: 1 / 0)
    assert "the data own:data asks for root; only split can be passed" in complaint(returning, lambda root: None)


def test_a_path_that_leads_nowhere_is_one_line():
    assert "no module 'nowhere'" in complaint(load_split, "function", "test", folder="nowhere:data")
    assert "must be written as package.module:function" in complaint(load_split, "function", "test", folder="nowhere")


def test_an_image_set_is_taken_as_it_is(returning):
    given = ImageSet(
        images=torch.from_numpy(FIRST.copy()),
        labels=torch.from_numpy(LABELS),
        class_names=("a", "b", "c"),
        split="test",
        name="mine",
        complete=False,
        note="half of it",
    )
    found = returning(lambda: given)
    assert (found.class_names, found.complete, found.note) == (("a", "b", "c"), False, "half of it")
    assert "returned an ImageSet of the split 'test' for 'train'" in complaint(
        returning, lambda: (given, given), "train"
    )


# .npz files


def test_an_npz_file_holds_one_split_or_both(tmp_path):
    alone = npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS, class_names=["cat", "dog", "emu"])
    found = load_npz(alone)
    assert np.array_equal(found.images, FIRST)
    assert (found.class_names, found.name) == (("cat", "dog", "emu"), "npz")
    assert "must hold train_images and train_labels; it holds class_names, images, labels" in complaint(
        load_npz, alone, "train"
    )
    both = npz(
        tmp_path / "b.npz", train_images=IMAGES, train_labels=LABELS, test_images=IMAGES[:2], test_labels=LABELS[:2]
    )
    assert [len(load_npz(both, split)) for split in ("train", "test")] == [6, 2]
    assert load_npz(both).class_names == ("0", "1", "2")


class Bomb:
    def __reduce__(self):
        return os._exit, (3,)


def test_nothing_is_unpickled_and_nothing_read_but_what_is_named(tmp_path):
    mixed = npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS, more=np.array([Bomb()], object))
    assert len(load_npz(mixed)) == 6
    for name in ("images", "labels", "class_names"):
        arrays = {"images": IMAGES, "labels": LABELS, name: np.array([Bomb()], object)}
        pickled = npz(tmp_path / "b.npz", **arrays)
        assert f"{name} is pickled, and pickles are never loaded" in complaint(load_npz, pickled)


def header_alone(shape):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def test_a_member_that_claims_more_than_is_there_is_not_read(tmp_path):
    path = npz(tmp_path / "a.npz", labels=LABELS)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("images.npy", header_alone((2**20, 2**20, 2**10)))
    assert "images says that it has 1125899906842624 bytes, and 0 of at most" in complaint(load_npz, path)


def test_a_member_beyond_the_bound_is_not_read(tmp_path, monkeypatch):
    path = npz(tmp_path / "a.npz", images=np.zeros((100, 100, 100), np.uint8), labels=np.zeros(100, int))
    monkeypatch.setattr("infoplane.data.images.LARGEST_SET", 999_999)
    assert "images says that it has 1000000 bytes, and 1000000 of at most 999999" in complaint(load_npz, path)


def test_damaged_npz_files_are_one_line(tmp_path):
    whole = npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS).read_bytes()
    path = tmp_path / "b.npz"
    for content in (b"", b"<html>", whole[:-30], whole[:200], b"\x93NUMPY\x01\x00", bytes(500)):
        path.write_bytes(content)
        assert f"{path} is no whole .npz file (" in complaint(load_npz, path)
    rng = np.random.default_rng(3)
    for place in rng.integers(0, len(whole), 300):
        content = bytearray(whole)
        content[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(content)
        try:
            found = load_npz(path)
        except UserError as error:
            assert "\n" not in str(error)  # noqa: PT017 - some changes, say of a time of day, change nothing
        else:
            assert np.array_equal(found.images, FIRST)
            assert found.labels.tolist() == LABELS.tolist()


def test_a_pipe_is_no_npz_file(tmp_path):
    os.mkfifo(tmp_path / "a.npz")
    assert "a.npz is no file; check the path" in complaint(load_npz, tmp_path / "a.npz")
