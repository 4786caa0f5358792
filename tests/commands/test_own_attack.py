"""An attack of the user's own, from the command line: what it may be, what it is trusted with, and what is kept."""

import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

import infoplane.report.html as html
from infoplane.commands.cli import main
from infoplane.runs.folder import RunFolder

OPTIONS = [
    "--data.train-examples=50", "--data.test-examples=40", "--training.epochs=0", "--measurement.layers=fc3",
    "--measurement.permutations=2", "--measurement.thorough-epochs=0", "--measurement.noise-sweep=1",
    "--methods=normal", "--device=cpu", "--quiet",
]  # fmt: skip
CODE = """
from pathlib import Path
import torch
Path("imported").touch()

def darker(model, images, labels, *, generator, target=None):
    return images / 2

class Brighter:
    norm = "linf"
    def __init__(self, epsilon):
        self.epsilon = epsilon
    def __call__(self, model, images, labels, *, generator, target=None):
        return (images + self.epsilon).clamp(max=1)

def too_bright(model, images, labels, *, generator, target=None):
    return images + 1

def fails(model, images, labels, *, generator, target=None):
    raise KeyError("mine")
"""
FLOW = ["flow", "digits-lenet5", "--run", "run", *OPTIONS]
CONTINUE = ["flow", "digits-lenet5", "--run", "run", "--device=cpu", "--quiet"]
DISTORTION = ["distortion", "run", "--distortions", "saturation", "--saturation", "8", "--quiet"]
BOTH = ["--attacks", "pgd", "sent:darker"]


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A folder with a finished run of PGD and an attack of the user's own, and its code."""
    folder = tmp_path_factory.mktemp("sender")
    (folder / "sent.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(html, "write_report", lambda run, found, **_: run.path / "report.html")
        patching.setattr(sys, "path", sys.path.copy())
        patching.delitem(sys.modules, "sent", raising=False)  # of another file of tests
        patching.setattr(sys, "dont_write_bytecode", True)
        patching.chdir(folder)
        assert main([*FLOW, *BOTH]) == 0
    return folder


@pytest.fixture(autouse=True)
def received(begun, tmp_path, monkeypatch) -> Path:
    """The same in the current folder, nothing imported yet."""
    shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    (tmp_path / "imported").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(html, "write_report", lambda run, *_, **__: run.path / "report.html")
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "sent", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def refused(command, capsys) -> str:
    assert main(command) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    return complaint


def test_its_examples_are_measured_beside_those_of_pgd_under_its_name():
    performance = RunFolder("run").performance().filter(split="test")
    assert sorted(performance["examples"]) == ["adversarial", "darker", "original", "random"]
    assert set(RunFolder("run").measurements()["examples"]) == {"adversarial", "darker", "original", "random"}


def test_a_class_is_made_with_the_settings_that_it_asks_for():
    assert main([*FLOW, "--run=other", "--attacks", "sent:Brighter", "--attack.epsilon=0.1", "--attack.steps=9"]) == 0
    assert set(RunFolder("other").measurements()["examples"]) == {"Brighter", "original", "random"}


def test_without_a_name_originals_alone_are_measured():
    assert main([*FLOW, "--run=other", "--attacks"]) == 0
    assert set(RunFolder("other").measurements()["examples"]) == {"original"}
    assert main(["distortion", "other", *DISTORTION[2:]]) == 0
    assert set(RunFolder("other").measurements()["examples"]) == {"original"}


@pytest.mark.parametrize(
    ("attack", "words"),
    [
        ("sent:fails", "the attack sent:fails raised KeyError: 'mine'; correct it"),
        ("sent:too_bright", "the attack sent:too_bright must return images in [0, 1]"),
        ("sent:darkre", "'sent' has no function 'darkre'; did you mean 'darker'?"),
        ("nowhere:attack", "no module 'nowhere'"),
        ("fgms", "unknown attack 'fgms', did you mean 'fgsm'?"),
    ],
)
def test_an_attack_that_does_not_work_is_one_line_before_anything_is_measured(attack, words, capsys):
    assert words in refused([*FLOW, "--run=other", "--attacks", attack], capsys)
    assert not list(Path("other").rglob("*.parquet"))


@pytest.mark.parametrize("command", [CONTINUE, DISTORTION, [*CONTINUE, "--seeds", "2"]])
def test_code_that_only_the_folder_names_is_not_imported(command, capsys):
    assert refused(command, capsys) == (
        "infoplane: run names the function 'sent:darker' as its attack, and this command would import that code; if "
        "you trust it, add --attacks pgd sent:darker (or --trust-run-code)\n"
    )
    assert not Path("imported").exists()


@pytest.mark.parametrize("command", [CONTINUE, DISTORTION])
@pytest.mark.parametrize("trust", [BOTH, ["--trust-run-code"]])
def test_code_that_the_user_trusts_is_imported(command, trust):
    assert main([*command, *trust]) == 0
    assert Path("imported").exists()


def test_other_attacks_than_those_of_the_run_are_refused(capsys):
    words = "run holds a run with attacks = ['pgd', 'sent:darker'], but this one asks for ['sent:darker']"
    assert words in refused([*CONTINUE, "--attacks", "sent:darker"], capsys)
    assert not Path("imported").exists()


def test_distortions_of_other_attacks_than_those_of_the_run(capsys):
    assert main([*DISTORTION, "--attacks", "fgsm"]) == 0
    found = RunFolder("run").performance().filter(pl.col("study") == "distortion")
    assert set(found["examples"]) == {"original", "fgsm", "random"}
    assert not Path("imported").exists()  # the run's own function is not asked for
    words = "run has distortions of fgsm examples, and this command asks for adversarial, darker; name the same"
    assert words in refused([*DISTORTION, "--trust-run-code"], capsys)


@pytest.mark.parametrize("command", [CONTINUE, DISTORTION, [*CONTINUE, "--seeds", "2"]])
def test_code_that_changed_since_the_run_began_is_refused(command, received, capsys):
    (received / "sent.py").write_text(CODE.replace("images / 2", "images * 0.55"))
    assert (
        "run: the attack darker changes images differently than when this run began, so its code (or the model's) has "
        "changed; restore that code, or start a new run"
    ) in refused([*command, "--trust-run-code"], capsys)


def test_a_change_that_moves_no_image_otherwise_is_accepted(received):
    (received / "sent.py").write_text(CODE.replace("images / 2", "0.5 * images  # said otherwise"))
    assert main([*CONTINUE, "--trust-run-code"]) == 0


def test_the_distortion_study_measures_it_too():
    assert main([*DISTORTION, *BOTH]) == 0
    distorted = RunFolder("run").performance().filter(pl.col("distortion") == "saturation", pl.col("level") == 8)
    assert sorted(distorted["examples"]) == ["adversarial", "darker", "original", "random"]
