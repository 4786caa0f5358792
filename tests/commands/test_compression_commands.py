"""`infoplane compression` and `infoplane quantised`, as a person types them, with small networks."""

import io
import math
import os
import subprocess
import sys

import polars as pl
import pytest
from rich.console import Console
from tests.drawing_little import rendering_only

from infoplane.commands import cli
from infoplane.findings.compression import Judged
from infoplane.records.compression import COMPRESSION_SCHEMA
from infoplane.report.compression_table import verdicts_table
from infoplane.studies.compression import measured, study, training

SIZES = ("--epochs", "2", "--measured-epochs", "3", "--seeds", "2", "--jobs", "1")
COMMANDS = ("compression", "quantised")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(training, "HIDDEN", (4, 3))
    monkeypatch.setattr(study, "HIDDEN", (4, 3))
    monkeypatch.setattr(study, "constant_accuracy", lambda *_: 0.0)  # two epochs count as learning here
    monkeypatch.setattr(measured, "_noisy_rows", lambda *_: iter(()))  # most of the time


@pytest.mark.parametrize("name", COMMANDS)
def test_it_writes_records_and_a_figure_and_prints_falls_and_verdicts(name, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "out"
    assert cli.main([name, "--output", str(folder), *SIZES]) == 0
    printed = capsys.readouterr().out
    for words in ("fall of I(X;T) to the last epoch, in bits", "30 bins, fixed range", "undecided", "accuracy of"):
        assert words in printed
    assert pl.read_parquet(folder / "records.parquet").schema == COMPRESSION_SCHEMA
    assert {path.name for path in (folder / "figures").iterdir()} == {
        f"{name}.{form}" for form in ("svg", "png", "pdf")
    }
    tables = {path.name for path in folder.glob("*.parquet")}
    assert tables == {"records.parquet", "accuracies.parquet", "falls.parquet", "verdicts.parquet"}

    records = (folder / "records.parquet").read_bytes()
    monkeypatch.setattr("infoplane.report.figure.save_figure", rendering_only())
    assert cli.main([name, "--output", str(folder), *SIZES]) == 0
    assert "4 of 4 networks are here already" in capsys.readouterr().out
    assert (folder / "records.parquet").read_bytes() == records

    assert cli.main([name, "--output", str(folder), *SIZES, "--learning-rate", "0.5"]) == 2
    assert "holds a run with learning_rate = 0.002" in capsys.readouterr().err


def test_seeds_that_are_added_after_verdicts_are_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("infoplane.report.figure.save_figure", rendering_only())

    def verdicts(seeds):
        assert cli.main(["compression", "--output", str(tmp_path / "out"), *SIZES, "--seeds", str(seeds)]) == 0
        column = pl.read_parquet(tmp_path / "out" / "verdicts.parquet")["seeds_added_after_first_verdicts"]
        return capsys.readouterr().out, column.unique().to_list()

    printed, added = verdicts(2)
    assert ("added after" not in printed, added) == (True, [0])
    for _ in range(2):  # also when it is printed again
        printed, added = verdicts(4)
        assert ("Seeds 2 to 3 were added after the first verdicts" in printed, added) == (True, [2])


def test_reasons_are_in_bits():
    judged = Judged("x", "undecided", 0.5, 0.1, 0.9, -math.log(2), 3 * math.log(2), "the interval; 5 seeds")
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(verdicts_table([judged]))
    printed = console.export_text()
    assert "[-1.00, 3.00] bits: the interval; 5 seeds" in printed
    assert "border of 0.14 bits" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("compression", "--seeds", "1"), "--seeds"),
        (("compression", "--bins", "30", "30"), "name each number of bins once"),
        (("quantised", "--bits", "17"), "--bits"),
        (("quantised", "--bits", "8", "8"), "name each number of bits once"),
        (("quantised", "--noise-variance", "0"), "--noise-variance"),
    ],
)
def test_settings_that_mean_nothing_are_one_line(options, message, capsys):
    assert cli.main([*options]) == 2
    complaint = capsys.readouterr().err
    assert message in complaint
    assert "Traceback" not in complaint


def test_help_needs_neither_torch_nor_polars():
    code = (
        "import sys, infoplane.commands.compression, infoplane.commands.quantised\n"
        "assert not {'torch', 'polars', 'matplotlib'}.intersection(sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
