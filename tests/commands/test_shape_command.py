"""`infoplane shape RUN` as a user types it: networks that see one cue alone have a shape bias of 1 and of 0."""

import json
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from tests import cue_patterns
from tests.command import UNRENDERED, infoplane

import infoplane.report.html as html
from infoplane.commands.cli import main

DATA = """

from infoplane.data import ImageSet


def read(split):
    images, labels = patterns(30, seed=int(split == "test"))
    names = ("right", "left", "down", "up")
    return ImageSet((images * 255).round().to(torch.uint8), labels, names, split, "waves")
"""
FLOW = [
    "flow", "digits-lenet5", "--data", "planted:read", "--epochs=0", "--methods=normal", "--attacks",
    "--measurement.permutations=0", "--measurement.thorough-epochs=0", "--measurement.noise-sweep=1",
    "--measurement.decoder-permutations=1", "--measurement.inputs=0", "--device=cpu", "--quiet",
]  # fmt: skip


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    """A folder with the module `planted` and the run `run` of a network that sees shape alone."""
    folder = tmp_path_factory.mktemp("shape")
    (folder / "planted.py").write_text(Path(cue_patterns.__file__).read_text() + DATA)
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(html, "write_report", lambda run, *_, **__: run.path / "report.html")
        patching.setattr(sys, "path", sys.path.copy())
        patching.delitem(sys.modules, "planted", raising=False)
        patching.setattr(sys, "dont_write_bytecode", True)
        patching.chdir(folder)
        for model in ("shape", "texture"):
            assert main([*FLOW, "--model", f"planted:see_{model}", "--run", model]) == 0
    return folder


def run_of(folder: Path, model: str) -> list[str]:
    return ["shape", str(folder / model), "--model", f"planted:see_{model}", "--data", "planted:read"]


@pytest.mark.parametrize(("model", "bias"), [("shape", 1.0), ("texture", 0.0)])
def test_a_network_that_sees_one_cue_has_the_bias_of_it(begun, monkeypatch, capsys, model, bias):
    monkeypatch.chdir(begun)
    monkeypatch.setattr(html, "write_report", lambda run, *_, **__: run.path / "report.html")
    assert main(run_of(begun, model)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Answers to conflicts of shape and texture" in said
    table = pl.read_csv(begun / model / "shape" / "bias.csv").filter(training="normal", width=2.0)
    assert table["kind"].to_list() == ["high-pass", "patches"]
    assert table["answered_share"].min() > 0.95
    assert (table["bias"] - bias).abs().max() < 0.02
    # Pairs that are dealt anew: any answer meets the shape and the texture equally often.
    assert (table["permuted_bias"] - 0.5).abs().max() < 0.05
    layers = pl.read_csv(begun / model / "shape" / "cues.csv").filter(layer="seen", estimator="decoded-transfer")
    own, other = ("shape", "texture") if model == "shape" else ("texture", "shape")
    assert (layers[f"{own}_low"] > 1.2).all()  # of ln 4 = 1.39 nats
    assert (layers[f"{other}_high"] < 0).all()


def test_the_page_and_the_files_have_it(begun, tmp_path):
    folder = shutil.copytree(begun, tmp_path / "copy")
    done = infoplane(*run_of(folder, "shape"), cwd=folder, drawn=UNRENDERED)
    assert done.returncode == 0, done.stderr
    assert "Verdict: undecided" in " ".join(done.stdout.split())
    page = (folder / "shape" / "report.html").read_text()
    assert "Texture against shape" in page
    summary = json.loads((folder / "shape" / "shape" / "summary.json").read_text())
    assert summary["claim"]["verdict"] == "undecided"  # there is no adversarial training
    manifest = (folder / "shape" / "manifest.sha256").read_text()
    wanted = ("answers.parquet", "layers.parquet", "summary.json", "bias.csv", "cues.csv", "changes.csv")
    assert all(f"shape/{name}" in manifest for name in wanted)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], ["is no run folder"]),
        (["shape", "--examples", "3"], ["--examples", "20"]),
        (["shape"], ["planted:see_shape", "--trust-run-code"]),
        (["shape", "--trust-run-code", "--images", "nowhere"], ["--images nowhere is no folder"]),
        (["shape", "--trust-run-code", "--images", "conflicts"], ["right-round.png", "'round' is no class"]),
    ],
)
def test_mistakes_are_one_line(begun, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(begun)
    (begun / "conflicts").mkdir(exist_ok=True)
    (begun / "conflicts" / "right-round.png").touch()
    assert main(["shape", *arguments, *(["--quiet"] if "--images" in arguments else [])]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert all(word in line for word in words), line
