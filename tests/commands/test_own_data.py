"""Runs on data and with models of the user's own: what they are called, and what they keep."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.drawing_little import rendering_only

import infoplane.report.html as html
from infoplane.commands.cli import main
from infoplane.report.figure_files import write_figures
from infoplane.runs.folder import RunFolder

SMALL = [
    "--device=cpu",
    "--training.epochs=0",
    "--methods=normal",
    "--measurement.permutations=2",
    "--measurement.thorough-epochs=0",
    "--measurement.noise-sweep=1",
]
RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.integers(0, 256, (30, 8, 8), np.uint8), np.arange(30) % 3


@pytest.fixture(autouse=True)
def away(tmp_path, monkeypatch):
    """Run in a folder of the test's own, with a model in it, and draw no figures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(html, "write_figures", lambda *_, **__: [])
    Path("mine.py").write_text(
        "from torch import nn\nimport numpy as np\n"
        "def make(classes, image_size, channels):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, 4), nn.Linear(4, classes))\n"
        "def data():\n    return np.load('pets.npz')['images'], np.arange(30) % 3, ['cat', 'dog', 'emu']\n"
    )
    np.savez("pets.npz", images=IMAGES, labels=LABELS, class_names=["cat", "dog", "emu"])
    yield
    for name in ("mine", "other"):
        sys.modules.pop(name, None)


def folder(names=(b"cat", b"dog", b"emu"), root="my pets"):
    for split in ("train", "test"):
        for index, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True)):
            path = Path(os.fsdecode(os.fsencode(f"{root}/{split}/") + names[label]))
            path.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path / f"{index:02}.png")
    return root


def flow(*arguments, recipe="mnist-lenet5"):
    return main(["flow", recipe, *SMALL, *map(str, arguments)])


def runs():
    return [path.name for path in Path("runs").iterdir()]


def page(run):
    return (Path("runs") / run / "report.html").read_text()


OWN = {"folder": "my pets", "npz": "pets.npz", "function": "mine:data"}


@pytest.mark.parametrize("kind", OWN)
def test_titles_tiles_and_folders_say_whose_data_and_model_it_is(kind, capsys):
    folder()
    assert flow("--data", OWN[kind], "--model", "mine:make") == 0
    (run,) = runs()
    name = {"folder": "my pets", "npz": "pets.npz", "function": "mine:data"}[kind]
    assert run == f"mine-make-on-{re.sub('[ :]', '-', name)}-s0"
    content = page(run)
    assert f"<title>mine:make on {name}: information plane report</title>" in content
    assert f"<h1>What the layers encode: mine:make on {name}</h1>" in content
    assert f'<p class="lead">mine:make on {name} (3 classes); ' in content
    assert "so this page does not judge them on yours" in content
    said = re.findall(r"mnist-lenet5", content)
    assert len(said) == 1  # among the settings: the recipe that they started from
    kept = RunFolder(Path("runs") / run).read_config()["environment"]["data"]
    assert kept["classes"] == ["cat", "dog", "emu"]
    assert kept["test"] == 30
    printed = " ".join(capsys.readouterr().out.split())
    assert "note: the data are not those of mnist-lenet5; kept from it, which may not fit: " in printed
    assert "--attack.epsilon 45/255, --attack.step-size 8/255, --training.no-augment" in printed
    assert "note: your model is trained with settings of mnist-lenet5" in printed
    assert "mean" not in printed.partition("normal")[0]  # not this model's


def test_the_mean_of_a_recipe_is_named_where_its_model_takes_other_data(capsys):
    folder()
    assert flow("--data", "my pets", "--data.image-size", 16, "--measurement.layers", "fc3") == 0
    assert runs() == ["lenet5-on-my-pets-s0"]
    printed = " ".join(capsys.readouterr().out.split())
    assert "--model.mean 0.1307, --model.std 1" in printed
    assert "the model is not that" not in printed


def test_settings_that_were_given_are_not_said_to_be_kept(capsys):
    folder()
    assert (
        flow("--data", "my pets", "--model", "mine:make", "--attack.epsilon", "9/255", "--attack.step-size=0.02") == 0
    )
    printed = " ".join(capsys.readouterr().out.split())
    assert "kept from it, which may not fit: --training.no-augment" in printed


def test_another_published_data_set_is_foreign_too():
    assert flow("--data.name", "digits", "--measurement.layers", "fc3", "--measurement.examples", 20) == 0
    assert runs() == ["lenet5-on-digits-s0"]
    assert "What the layers encode: lenet5 on digits<" in page("lenet5-on-digits-s0")


def test_a_recipes_own_data_and_model_are_named_by_the_recipe(capsys):
    given = ("--measurement.layers", "fc3", "--measurement.examples", 20)
    assert flow(*given, recipe="digits-lenet5") == 0
    assert runs() == ["digits-lenet5-s0"]
    assert "What the layers encode: digits-lenet5<" in page("digits-lenet5-s0")
    assert '<p class="lead">lenet5 on digits (10 classes); ' in page("digits-lenet5-s0")
    assert "note" not in capsys.readouterr().out


def test_a_fragment_is_marked_in_records_and_titles(mnist_fragment):
    assert flow("--data.folder", mnist_fragment, "--model", "mine:make") == 0
    (run,) = runs()
    kept = RunFolder(Path("runs") / run).read_config()["environment"]["data"]
    assert kept["fragment"] == "6 of 10,000 test images"
    assert "What the layers encode: mine:make on mnist, fragment<" in page(run)
    assert "mine:make on mnist, a fragment: 6 of 10,000 test images (10 classes); " in page(run)


@pytest.fixture
def mnist_fragment(tmp_path):
    images = (2051).to_bytes(4, "big") + b"".join(n.to_bytes(4, "big") for n in (6, 28, 28)) + bytes(6 * 784)
    labels = (2049).to_bytes(4, "big") + (6).to_bytes(4, "big") + bytes(range(6))
    for name, content in (("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", labels)):
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_data_that_changed_between_two_sittings_are_refused(capsys):
    given = ("--data", folder(), "--model", "mine:make", "--run", "run")
    assert flow(*given) == 0
    Image.fromarray(IMAGES[1]).save("my pets/test/cat/00.png")
    capsys.readouterr()
    for command in (lambda: flow(*given), lambda: main(["distortion", "run", "--trust-run-code", "--quiet"])):
        assert command() == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "my pets/test: the test images are not those that run began with; put the old ones back" in line
    Image.fromarray(IMAGES[0]).save("my pets/test/cat/00.png")
    for split in ("train", "test"):
        Path(f"my pets/{split}/dog").rename(f"my pets/{split}/doe")
    assert flow(*given) == 2
    assert "the classes are cat, doe, emu, not those that run began with" in capsys.readouterr().err


def test_training_and_test_images_must_fit_each_other(capsys):
    both = {"train_images": IMAGES, "train_labels": LABELS, "test_labels": LABELS}
    np.savez("a.npz", test_images=IMAGES[:, :4, :4], **both)
    options = [option for option in SMALL if not option.startswith("--training")]
    given = ["flow", "mnist-lenet5", *options, "--training.epochs=1", "--model=mine:make", "--data"]
    assert main([*given, "a.npz"]) == 2
    assert "training images are 1 x 8 x 8 (channels, height, width), test images 1 x 4 x 4" in capsys.readouterr().err
    Path("other.py").write_text("import numpy as np\ndef data(split):\n    n = 3 if split == 'train' else 2\n")
    with Path("other.py").open("a") as module:
        module.write("    return np.load('pets.npz')['images'], np.arange(30) % n\n")
    assert main([*given, "other:data"]) == 2
    line = capsys.readouterr().err
    assert "the classes of the training images, 3 (0, 1, 2), and of the test images, 2 (0, 1), differ" in line


@pytest.mark.parametrize("option", ["--attacks", "--method.adversarial-attack"])
def test_an_attack_for_more_classes_than_the_data_have_is_refused_before_anything_is_computed(option, capsys):
    two = {"train_images": IMAGES, "train_labels": LABELS % 2, "test_images": IMAGES, "test_labels": LABELS % 2}
    np.savez("two.npz", **two)
    assert (
        flow("--data=two.npz", "--model=mine:make", option, "apgd-dlr", "--training.epochs=1", "--methods=adversarial")
        == 2
    )
    assert "apgd-dlr compares 3 logits, and the data have 2 classes" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere", "nowhere.npz", "nowhere:data", "mine:make2", "mine.py"])
def test_data_that_are_not_there_are_one_line(name, capsys):
    assert flow("--data", name, "--model", "mine:make") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name.partition(":")[0] in line
    assert not Path("runs").exists() or not list(Path("runs").rglob("*.parquet"))


def test_names_that_are_no_text_reach_figures_and_page(monkeypatch):
    names = (b"caf\xe9", b"two$x^", b"new\nline")
    root = folder(names, root=os.fsdecode(b"p\xe4ts"))
    assert flow("--data", root, "--model", "mine:make", "--run", "run") == 0
    assert main(["distortion", "run", "--distortions", "saturation", "--model", "mine:make"]) == 0
    monkeypatch.setattr(html, "write_figures", write_figures)
    named = rendering_only("class-entropies", "transfer", "distortion-sheet")  # in which classes are named
    monkeypatch.setattr("infoplane.report.figure.save_figure", named)
    assert main(["report", "run"]) == 0
    assert Path("run/figures/distortion-sheet-saturation-s0.svg").stat().st_size > 1000
    content = Path("run/report.html").read_bytes().decode()
    assert "What the layers encode: mine:make on p\ufffdts<" in content
    kept = RunFolder("run").read_config()["environment"]["data"]
    assert kept["classes"] == ["caf\ufffd", "new\\nline", "two$x^"]


def test_data_may_be_the_name_of_a_published_dataset():
    assert flow("--data", "digits", "--data.test-examples", 30, "--measurement.examples", 20, "--run", "run") == 0
    assert RunFolder("run").read_config()["settings"]["data"]["name"] == "digits"
    assert flow("--data", "digits", "--data.test-examples", 30, "--measurement.examples", 20, "--run", "run") == 0


def test_a_folder_of_images_with_the_name_of_a_dataset_is_not_mistaken_for_it(capsys):
    folder(root="digits")
    assert flow("--data", "digits", "--run", "run") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "published dataset" in line
    assert "type --data ./digits for the folder" in line
    assert not Path("run").exists()
    assert flow("--data", "./digits", "--data.image-size", 28, "--measurement.examples", 20, "--run", "run") == 0
    assert RunFolder("run").read_config()["settings"]["data"]["name"] == "folder"
