"""`infoplane where RUN` as a user types it: a loss that is planted at a layer for some examples is named."""

import json
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.command import UNRENDERED, infoplane

import infoplane.report.html as html
from infoplane.commands.cli import main

# A marked image loses its label in `turn`: the layer turns its features round. The attack marks images of even digits.
CODE = """
import torch
from torch import nn

class Turn(nn.Module):
    def forward(self, features, marked):
        return torch.where(marked, -features, features)

class Planted(nn.Module):
    probed_layers = ("first", "turn", "last")
    def __init__(self):
        super().__init__()
        self.first, self.turn, self.last = nn.Linear(783, 40), Turn(), nn.Linear(40, 10)
    def forward(self, images):
        pixels = images.flatten(1)
        return self.last(self.turn(self.first(pixels[:, 1:]), pixels[:, :1] > 0.9))

def make():
    return Planted()

def marks(model, images, labels, *, generator, target=None):
    marked = images.clone()
    marked[labels % 2 == 0, :, 0, 0] = 1
    return marked
"""
FLOW = [
    "flow", "digits-lenet5", "--run", "run", "--model", "planted:make", "--attacks", "planted:marks", "--epochs=4",
    "--data.train-examples=400", "--data.test-examples=200", "--measurement.permutations=0", "--methods=normal",
    "--measurement.thorough-epochs=0", "--measurement.noise-sweep=1", "--measurement.decoder-permutations=2",
    "--measurement.examples=200", "--training.learning-rate=0.05", "--device=cpu", "--quiet",
]  # fmt: skip
WHERE = ("where", "run", "--model", "planted:make", "--attack", "planted:marks")


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("where")
    (folder / "planted.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(html, "write_report", lambda run, *_, **__: run.path / "report.html")
        patching.setattr(sys, "path", sys.path.copy())
        patching.delitem(sys.modules, "planted", raising=False)
        patching.setattr(sys, "dont_write_bytecode", True)
        patching.chdir(folder)
        assert main(FLOW) == 0
    return folder


def test_corruption_planted_at_a_layer_is_named_for_the_examples_that_have_it(begun, tmp_path):
    folder = shutil.copytree(begun, tmp_path, dirs_exist_ok=True)
    done = infoplane(*WHERE, cwd=folder, drawn=UNRENDERED)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    for words in (
        "200 examples of each network",
        "Normal training: share of examples that lose the label",
        "permuted labels",
    ):
        assert words in said, words
    summary = json.loads((folder / "run" / "where" / "summary.json").read_text())
    assert "lose the label at turn" in summary["sentences"][0]
    shares = pl.read_csv(folder / "run" / "where" / "shares.csv").filter(pl.col("examples") != "original", among="all")
    lost = dict(shares.select("place", "count").rows())
    assert lost["turn"] >= 85  # of about 100 even digits
    assert lost["kept"] >= 85  # of about 100 odd ones
    table = pl.read_parquet(folder / "run" / "where" / "where.parquet")
    at_turn = table.filter(pl.col("layer") == "turn", pl.col("examples") != "original")
    assert at_turn.filter(pl.col("label") % 2 == 0)["encoded"].mean() < 0.1
    assert at_turn.filter(pl.col("label") % 2 == 1)["encoded"].mean() > 0.85
    page = (folder / "run" / "report.html").read_text()
    assert "Where the label is lost, example by example" in page
    assert "lose the label at turn" in page
    manifest = (folder / "run" / "manifest.sha256").read_text()
    assert all(f"where/{name}" in manifest for name in ("where.parquet", "layers.parquet", "summary.json", "pairs.csv"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], ["is no run folder"]),
        (["run", "--attacks", "pgb"], ["unknown attack 'pgb'", "did you mean 'pgd'"]),
        (["run", "--examples", "3"], ["--examples", "20"]),
        (["run"], ["planted:make", "--trust-run-code"]),
    ],
)
def test_mistakes_are_one_line(begun, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(begun)
    assert main(["where", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert all(word in line for word in words), line
