"""Data sets by name: where they are looked for, and what is said when they are not there."""

import shutil
import subprocess
import sys

import pytest

from infoplane.data import DATASETS, load_split
from infoplane.errors import UserError

NAMES = [dataset.name for dataset in DATASETS]


def test_the_named_folder_comes_before_the_environment_and_that_before_the_cache(mnist_folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "infoplane"
    elsewhere, named = tmp_path / "elsewhere", tmp_path / "named"
    for root in (cache, elsewhere, named):
        shutil.copytree(mnist_folder, root / "mnist")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: cache)
    monkeypatch.setenv("INFOPLANE_DATA", str(elsewhere))
    assert str(named) in load_split("mnist", "test", folder=named).source
    assert str(elsewhere) in load_split("mnist", "test").source
    monkeypatch.delenv("INFOPLANE_DATA")
    assert str(cache) in load_split("mnist", "test").source


def test_a_place_that_lacks_a_file_does_not_hide_a_whole_copy(mnist_folder, tmp_path, monkeypatch):
    partial = tmp_path / "partial"
    shutil.copytree(mnist_folder, partial)
    (partial / "t10k-labels-idx1-ubyte").unlink()
    monkeypatch.setenv("INFOPLANE_DATA", str(mnist_folder))
    assert str(mnist_folder) in load_split("mnist", "test", folder=partial).source


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "stl10"])
def test_missing_data_is_one_line_with_the_places_and_the_command(name, tmp_path, monkeypatch):
    monkeypatch.setenv("INFOPLANE_DATA", str(tmp_path / "empty"))
    with pytest.raises(UserError) as caught:
        load_split(name, "train", folder=tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{name} (train) was not found in {tmp_path}, {tmp_path / 'empty'}, ")
    assert message.endswith(f"; run: infoplane data {name}")
    assert "\n" not in message


def test_a_copy_with_a_file_missing_is_named(mnist_folder):
    (mnist_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(UserError, match=r"/mnist holds no t10k-labels-idx1-ubyte; run: infoplane data mnist"):
        load_split("mnist", "test", folder=mnist_folder.parent)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("cifar", "train"),
            "unknown dataset 'cifar', did you mean 'cifar10'.; datasets are digits, mnist, fashion-mnist, cifar10, ",
        ),
        (("digits", "valid"), "unknown split 'valid'; choose one of train, test"),
        (("folder", "train"), "the dataset 'folder' is your own; name it with --data"),
    ],
)
def test_unknown_names_are_answered_with_the_known_ones(arguments, message):
    with pytest.raises(UserError, match=message):
        load_split(*arguments)


@pytest.mark.parametrize("name", sorted({*NAMES} - {"npz", "function"}))
def test_a_root_that_is_no_folder_is_named(name, tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path / 'typo'} is no folder"):
        load_split(name, "train", folder=tmp_path / "typo")


@pytest.mark.parametrize("name", NAMES)
def test_images_need_at_least_one_pixel(name, tmp_path):
    with pytest.raises(ValueError, match="image_size must be at least 1, got 0"):
        load_split(name, "train", folder=tmp_path, image_size=0)


def test_importing_the_package_leaves_heavy_libraries_alone():
    program = "import sys, infoplane.data; print(sorted({'PIL', 'requests', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
