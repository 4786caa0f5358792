"""How networks compute in training is chosen once, kept, and never changed in the middle of a run."""

import json
from pathlib import Path

import pytest

import infoplane.report.html as html
from infoplane.cli import main

SETTINGS = (
    "flow", "digits-lenet5", "--data.train-examples=60", "--data.test-examples=40", "--measurement.examples=20",
    "--measurement.layers", "fc3", "--measurement.thorough-epochs=0", "--methods", "normal", "--quiet",
    "--measurement.permutations=1", "--run", "run",
)  # fmt: skip


def kept(folder: Path) -> dict[str, object]:
    environment: dict[str, object] = json.loads((folder / "run/config.json").read_text())["environment"]
    return environment


@pytest.fixture(autouse=True)
def _away(tmp_path, monkeypatch):
    """Run in a folder of the test's own, and draw nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(html, "write_figures", lambda run, output=None: [])


@pytest.mark.parametrize(
    ("options", "precisions"),
    [
        (("--deterministic",), {"32"}),
        (("--precision", "32"), {"32"}),
        (("--precision", "bf16"), {"bf16"}),
        ((), {"32", "bf16"}),
    ],
)
def test_a_run_keeps_how_it_trains(options, precisions):
    assert main([*SETTINGS, "--training.epochs=1", *options]) == 0
    training = kept(Path())["training"]
    assert training["precision"] in precisions
    assert main([*SETTINGS, "--training.epochs=1"]) == 0
    assert kept(Path())["training"] == training


def test_a_run_is_not_continued_in_another_precision(capsys):
    assert main([*SETTINGS, "--training.epochs=1", "--deterministic"]) == 0
    capsys.readouterr()
    assert main([*SETTINGS, "--training.epochs=1", "--precision", "bf16"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run began with --precision 32; continue it so, or choose another folder" in line


def test_deterministic_training_is_in_float32(capsys):
    assert main([*SETTINGS, "--training.epochs=0", "--deterministic", "--precision", "bf16"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--deterministic trains in float32; leave out --precision bf16" in line
