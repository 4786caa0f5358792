"""The command line, through the installed entry point."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from tests.command import ENTRY, UNRENDERED, assert_one_clear_line, drawing, hear_signals, infoplane

import infoplane as infoplane_package
from infoplane.commands.cli import main
from infoplane.recipes import RECIPES
from infoplane.runs.folder import RunFolder

SMALL = [
    "--data.train-examples=80",
    "--data.test-examples=60",
    "--training.epochs=1",
    "--measurement.permutations=3",
    "--measurement.noise-sweep=0.1",
    "--measurement.thorough-epochs=1",
    "--measurement.decoder-permutations=0",
    "--device=cpu",
]


def test_help_lists_every_command_and_needs_no_torch(tmp_path):
    done = infoplane("--help")
    assert done.returncode == 0
    for command in ("demo", "flow", "recipes", "estimate", "calibrate", "report", "data"):
        assert f"  {command} " in done.stdout
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    assert infoplane("--help", PYTHONPATH=str(tmp_path)).returncode == 0


def test_the_version_is_the_packages_in_python_and_on_the_command_line():
    assert infoplane_package.__version__ == version("infoplane")
    done = infoplane("--version")
    assert (done.returncode, done.stdout) == (0, f"infoplane {version('infoplane')}\n")


@pytest.mark.parametrize("command", ["demo", "flow", "recipes", "estimate", "calibrate", "report", "data"])
def test_every_command_explains_itself(command):
    done = infoplane(command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: infoplane {command}")


def test_recipes_lists_what_each_costs():
    done = infoplane("recipes")
    assert all(name in done.stdout for name in RECIPES)
    assert done.returncode == 0


def test_the_studys_settings_are_the_defaults_of_its_recipes():
    of_mnist = [(name, 45, 8) for name in ("mnist-lenet5", "mnist-lenet5-as-released")]
    for name, epsilon, step in (*of_mnist, ("cifar10-wrn", 8, 2), ("stl10-wrn", 4, 2)):
        config = RECIPES[name].config
        assert (config.attack.epsilon, config.attack.step_size, config.attack.steps) == (epsilon / 255, step / 255, 7)
        training = config.training
        assert (training.epochs, training.batch_size, training.learning_rate) == (200, 128, 0.1)
        assert (training.momentum, training.weight_decay, training.gamma) == (0.9, 0, 0.5)
        assert training.milestones == (20, 60)
        assert training.augment == (not name.startswith("mnist"))
        assert (config.measurement.examples, config.measurement.noise_variance) == (5000, 0.1)
        assert config.measured_epochs() == list(range(201))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["flw"], ["unknown command 'flw'", "did you mean 'flow'?"]),
        (["flow"], ["name a recipe first", "mnist-lenet5"]),
        (["flow", "mnist-lenet"], ["unknown recipe 'mnist-lenet'", "did you mean 'mnist-lenet5'?"]),
        (["flow", "digits-lenet5", "--training.epoch", "3"], ["--training.epoch", "--training.epochs"]),
        (["flow", "digits-lenet5", "--training.epochs", "-3"], ["--training.epochs must be", "or equal to 0, got -3"]),
        (["flow", "digits-lenet5", "--attack.epsilon", "8/0"], ["--attack.epsilon", "divides by zero"]),
        (["flow", "digits-lenet5", "--attack.steps", "1"], ["cannot reach --attack.epsilon", "or --attack.step-size"]),
        (["flow", "digits-lenet5", "--methods", "fre"], ["'fre'", "--methods", "adversarial"]),
        (["flow", "digits-lenet5", "--model", "nowhere:make"], ["no module 'nowhere'"]),
        (["flow", "digits-lenet5", "--data", "nowhere"], ["nowhere"]),
        (["estimate", "nothing.npz"], ["nothing.npz does not exist"]),
        (["report", "nowhere"], ["nowhere is no run folder"]),
        (["data", "imagenet"], ["imagenet", "mnist"]),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_status_2(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("infoplane: ")
    assert all(word in line for word in words), line


def test_a_users_mistake_is_one_line_of_the_installed_command(tmp_path):
    done = infoplane("flow", "digits-lenet5", "--model", "nowhere:make", cwd=tmp_path)
    assert_one_clear_line(done, "no module 'nowhere'")


def test_missing_data_says_how_to_get_it(tmp_path):
    done = infoplane("flow", "mnist-lenet5", cwd=tmp_path, INFOPLANE_DATA=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
    assert_one_clear_line(done, "mnist", "run: infoplane data mnist")


RENDERED = ("information-flow", "class-entropies")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A small run through the command line, with what it printed."""
    folder = tmp_path_factory.mktemp("cli") / "run"
    done = infoplane("flow", "digits-lenet5", *SMALL, "--run", folder, drawn=(*UNRENDERED, *RENDERED))
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_ends_with_the_table_and_says_where_the_report_lies(finished):
    folder, printed = finished
    assert "normal  epoch 1/1" in printed
    assert "adversarial  epoch 1/1" in printed
    assert all(layer in printed for layer in ("conv1", "conv2", "fc1", "fc2", "fc3"))
    assert "The study's claims, tested" in printed
    assert f"report:  {folder / 'report.html'}" in printed
    assert (folder / "report.html").stat().st_size > 1_000_000
    assert "\x1b" not in printed  # no control characters outside a terminal
    for training in ("normal", "adversarial"):
        for figure in RENDERED:
            assert (folder / "figures" / f"{figure}-{training}-s0.svg").stat().st_size > 1000


def test_the_run_folder_keeps_settings_and_environment(finished):
    config = RunFolder(finished[0]).read_config()
    assert config["settings"]["attack"]["epsilon"] == 24 / 255
    assert config["environment"]["torch"] == torch.__version__
    assert config["environment"]["threads"] == 1
    events = [json.loads(line)["event"] for line in (finished[0] / "log.jsonl").read_text().splitlines()]
    assert [event for event in events if event != "page"] == ["measured", "trained", "measured"] * 2


def test_the_page_is_there_after_the_first_measured_epoch(finished):
    folder, printed = finished
    events = [json.loads(line)["event"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert events[:2] == ["measured", "page"]
    assert (
        printed.index("normal  epoch 0/1")
        < printed.index("in at most 5% of the time; to watch it")
        < printed.index("normal  epoch 1/1")
    )


def test_a_finished_run_is_not_run_again(finished):
    before = {path: path.stat().st_mtime_ns for path in finished[0].glob("*/*.parquet")}
    done = infoplane("flow", "digits-lenet5", *SMALL, "--run", finished[0], drawn=())
    assert "normal: complete" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in finished[0].glob("*/*.parquet")} == before


def test_a_differing_setting_is_an_error_that_names_it(finished, capsys):
    arguments = ["flow", "digits-lenet5", *SMALL, "--run", str(finished[0]), "--measurement.bin-width", "0.25"]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in ("measurement.bin_width = 0.5", "0.25", "--run")), line


def test_quiet_is_quiet(finished):
    done = infoplane("flow", "digits-lenet5", *SMALL, "--run", finished[0], "--quiet", drawn=["class-entropies"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_report_can_be_drawn_again(finished):
    figure = finished[0] / "figures" / "class-entropies-normal-s0.svg"
    figure.unlink()
    (finished[0] / "report.html").unlink()
    done = infoplane("report", finished[0], drawn=["class-entropies"])
    lines = done.stdout.splitlines()
    assert lines[-1] == str(finished[0] / "report.html")
    assert (finished[0] / "report.html").is_file()
    assert figure.is_file()
    for claim in ("1", "2", "3a", "3b", "4", "5", "6"):
        assert (
            len([line for line in lines if re.match(rf"\s*{claim} .* (supported|contradicted|undecided) ", line)]) == 1
        )


def test_figures_are_drawn_from_a_notebook_whose_backend_is_not_installed_here(finished):
    figure = finished[0] / "figures" / "class-entropies-normal-s0.svg"
    figure.unlink()
    backend = "module://matplotlib_inline.backend_inline"
    done = infoplane("report", finished[0], drawn=["class-entropies"], MPLBACKEND=backend)
    assert (done.returncode, done.stderr) == (0, "")
    assert figure.is_file()


def test_a_report_gives_the_findings_as_json(finished):
    done = infoplane("report", finished[0], "--json", drawn=())
    assert json.loads(done.stdout) == json.loads((finished[0] / "findings.json").read_text())


def test_two_runs_never_share_a_folder(finished):
    with RunFolder(finished[0]).locked():
        done = infoplane("flow", "digits-lenet5", *SMALL, "--run", finished[0])
    assert_one_clear_line(done, "in use by another infoplane process")


def test_ctrl_c_ends_cleanly_and_says_how_to_continue(tmp_path):
    settings = [option for option in SMALL if not option.startswith("--training.epochs")]
    arguments = ["flow", "digits-lenet5", *settings, "--training.epochs=200", "--run", str(tmp_path / "run")]
    process = subprocess.Popen(
        [ENTRY, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=drawing(),
        preexec_fn=hear_signals,
    )
    try:
        for _ in range(2400):
            if list((tmp_path / "run").glob("performance/*.parquet")) or process.poll() is not None:
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, complaint
    assert "Traceback" not in complaint
    assert f"To continue: {shlex.join(['infoplane', *arguments])}" in complaint


def test_a_diverging_run_is_one_line_with_advice(tmp_path):
    done = infoplane(
        *["flow", "digits-lenet5", *SMALL, "--training.learning-rate", 1e20, "--measurement.layers", "fc3"],
        *["--run", tmp_path / "run", "--quiet"],
    )
    assert_one_clear_line(done, "normal training diverged in epoch 1", "lower learning rate")


def test_ones_own_images_and_model(tmp_path):
    from PIL import Image

    source = np.random.default_rng(0)
    for split in ("train", "test"):
        for brightness, name in ((60, "dark"), (190, "light")):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(12):
                pixels = np.clip(source.normal(brightness, 20, (20, 20, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "class Flattening(nn.Module):\n"
        "    def __init__(self, classes, channels):\n"
        "        super().__init__()\n"
        "        self.first, self.second = nn.Conv2d(channels, 4, 3), nn.Conv2d(4, 4, 3)\n"
        "        self.last = nn.LazyLinear(classes)\n"
        "    def forward(self, x):\n"
        "        x = self.second(self.first(x).relu())\n"
        "        return self.last(x.view(len(x), -1))\n"
        "def few(classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(classes + 1))\n"
    )
    done = infoplane(
        *["flow", "digits-lenet5", "--data", "images", "--data.image-size", 16, "--model", "mine:Flattening"],
        *["--training.epochs", 1, "--measurement.permutations", 3, "--measurement.thorough-epochs", 0],
        *["--run", "run", "--device", "cpu"],
        cwd=tmp_path,
        drawn=(*UNRENDERED, *RENDERED),
    )
    assert done.returncode == 0, done.stderr
    measured = RunFolder(tmp_path / "run").measurements()
    assert measured["layer"].unique().sort().to_list() == ["first", "last", "pixels", "second"]
    assert measured["samples"].filter(measured["class_index"].is_null()).unique().to_list() == [24]
    done = infoplane("flow", "digits-lenet5", "--model", "mine:few", "--run", "few", cwd=tmp_path)
    assert_one_clear_line(done, "mine:few must return logits of shape (batch, 10), got (1, 11)")


def test_digits_need_no_download():
    assert infoplane("data", "digits").returncode == 0


def test_data_that_is_there_is_verified(real_data):
    done = infoplane("data", "mnist", INFOPLANE_DATA=str(real_data))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ok ") == 4


def test_a_fragment_of_stl10_is_measured_at_96_pixels_and_reported_as_incomplete(real_data, tmp_path):
    done = infoplane(
        *["flow", "stl10-wrn", "--training.epochs", 0, "--methods", "normal", "--measurement.permutations", 3],
        *["--measurement.thorough-epochs", 0, "--measurement.noise-sweep", 1, "--measurement.layers", "stem"],
        *["--measurement.examples", 40, "--attack.steps", 2, "--run", tmp_path / "run", "--device", "cpu"],
        drawn=(*UNRENDERED, *RENDERED),
        INFOPLANE_DATA=str(real_data),
    )
    assert done.returncode == 0, done.stderr
    assert "152 of 8,000 test images" in done.stdout
    stem = RunFolder(tmp_path / "run").measurements().filter(pl.col("layer_index") == 0)
    assert stem["features"].unique().to_list() == [16 * 96 * 96]
