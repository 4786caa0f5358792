"""A training method that is added to the list is everywhere: in help and errors, in trainings, records and report."""

import json
import subprocess
import sys

import polars as pl
import pytest
from tests.training.toy_method import TOY

from infoplane.cli import main
from infoplane.training.catalogue import METHODS

FLOW = ["flow", "digits-lenet5"]


@pytest.fixture
def added():
    METHODS.append(TOY)
    yield
    METHODS.remove(TOY)


@pytest.mark.usefixtures("added")
def test_help_and_errors_name_the_method_and_its_settings(capsys):
    assert main([*FLOW, "--help"]) == 0
    assert "ensemble, toy, NAME+awp" in " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit):
        main([*FLOW, "--help-all"])
    text = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "toy: a share of the loss on images attacked by PGD" in text
    assert "--method.toy-share FLOAT Share of the loss that is taken on attacked images. (default: 0.5)" in text
    for options, words in (
        (["--methods", "tooy"], "unknown training method 'tooy', did you mean 'toy'?; training methods are normal, "),
        (["--method.toy-share", "2"], "--method.toy-share must be less than or equal to 1, got 2"),
        (["--method.toy-shar", "1"], "unknown option --method.toy-shar, did you mean --method.toy-share?"),
    ):
        assert main([*FLOW, *options]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.usefixtures("added")
def test_the_method_is_trained_recorded_and_reported(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = [
        "--data.train-examples=60", "--data.test-examples=40", "--training.epochs=1", "--measurement.layers=fc3",
        "--measurement.permutations=2", "--measurement.thorough-epochs=0", "--measurement.noise-sweep=1",
        "--device=cpu", "--deterministic", "--attack.steps=4", "--method.toy-share=0.25",
    ]  # fmt: skip
    assert main([*FLOW, "--run", "run", "--methods", "normal", "toy", "toy+awp", *options]) == 0
    assert "toy+awp" in capsys.readouterr().out
    settings = json.loads((tmp_path / "run/config.json").read_text())["settings"]
    assert settings["methods"] == ["normal", "toy", "toy+awp"]
    assert settings["method"]["toy_share"] == 0.25
    assert settings["method"]["trades_beta"] == 6
    spent = pl.read_parquet(tmp_path / "run/performance/*e0001.parquet").group_by("training")
    passes = {name: number / 60 for name, number in spent.agg(pl.col("gradient_evaluations").max()).rows()}
    assert passes == {"normal": 1, "toy": 4 + 2, "toy+awp": 4 + 2 + 2}
    assert "toy training" in (tmp_path / "run/report.html").read_text()


def test_the_list_and_its_help_are_read_without_torch():
    code = (
        "import sys\n"
        "from tests.training.toy_method import TOY\n"
        "from infoplane.training.catalogue import METHODS\n"
        "METHODS.append(TOY)\n"
        "import infoplane.cli as cli\n"
        "cli.main(['flow', 'digits-lenet5', '--help'])\n"
        "assert not {'torch', 'polars', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "toy" in done.stdout
