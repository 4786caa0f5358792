"""How networks compute in training is chosen once, kept, and never changed in the middle of a run."""

import json
from pathlib import Path

import pytest
from tests.studies.test_information_flow import Listener

import infoplane.report.html as html
from infoplane.acceleration import Choices
from infoplane.commands import flow
from infoplane.commands.cli import main
from infoplane.config import FlowConfig
from infoplane.runs.folder import RunFolder
from infoplane.studies.flow import choose_acceleration as choose

SETTINGS = (
    "flow", "digits-lenet5", "--data.train-examples=60", "--data.test-examples=40", "--measurement.examples=20",
    "--measurement.layers", "fc3", "--measurement.thorough-epochs=0", "--methods", "normal", "--quiet",
    "--measurement.permutations=1", "--measurement.noise-sweep=1",
    "--run", "run",
)  # fmt: skip


def kept(folder: Path) -> dict[str, object]:
    environment: dict[str, object] = json.loads((folder / "run/config.json").read_text())["environment"]
    return environment


@pytest.fixture(autouse=True)
def _away(tmp_path, monkeypatch):
    """Run in a folder of the test's own, and draw nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(html, "write_figures", lambda *_, **__: [])


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
    assert isinstance(training["rowwise"], list)
    assert main([*SETTINGS, "--training.epochs=1"]) == 0
    assert kept(Path())["training"] == training


def test_a_run_is_not_continued_in_another_precision(capsys):
    assert main([*SETTINGS, "--training.epochs=1", "--deterministic"]) == 0
    capsys.readouterr()
    assert main([*SETTINGS, "--training.epochs=1", "--precision", "bf16"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run began with --precision 32; continue it with that, or choose another folder" in line


def test_a_run_that_began_otherwise_is_not_continued_as_deterministic(capsys):
    assert main([*SETTINGS, "--training.epochs=1", "--precision", "bf16"]) == 0
    capsys.readouterr()
    assert main([*SETTINGS, "--training.epochs=1", "--deterministic"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run began without --deterministic; leave it out, or choose another --run" in line


def test_deterministic_training_is_in_float32(capsys):
    assert main([*SETTINGS, "--training.epochs=0", "--deterministic", "--precision", "bf16"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--deterministic trains in float32; leave out --precision bf16" in line


def test_a_run_with_cuda_graphs_says_that_they_are_experimental(tmp_path, monkeypatch):
    monkeypatch.setattr(choose, "training_choices", lambda *given: Choices(cuda_graphs=True))
    run, listener = RunFolder(tmp_path / "run"), Listener()
    run.begin("flow", {}, {})
    flow._choices(FlowConfig(), run, {}, "auto", listener, deterministic=False)
    assert [line for line in listener.lines if "CUDA graphs, which are experimental" in line]
