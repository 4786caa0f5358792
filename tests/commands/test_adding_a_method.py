"""A training method that is added to the list is everywhere: in help and errors, in trainings, records and report."""

import json
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from tests.drawing_little import rendering_only
from tests.toys.method import TOY

import infoplane.report.html as html
from infoplane.commands.cli import main
from infoplane.records.tables import ADVERSARIAL_TRAINING, NORMAL_TRAINING
from infoplane.report.summary import missing_parts
from infoplane.runs.folder import RunFolder
from infoplane.training.catalogue import METHODS, WRAPPERS, all_settings

FLOW = ["flow", "digits-lenet5"]
SMALL = [
    "--data.train-examples=60", "--data.test-examples=40", "--training.epochs=1", "--measurement.layers=fc3",
    "--measurement.permutations=2", "--measurement.thorough-epochs=0", "--measurement.noise-sweep=1",
    "--device=cpu", "--deterministic", "--attack.steps=4",
]  # fmt: skip


@pytest.fixture
def added():
    METHODS.append(TOY)
    yield
    METHODS.remove(TOY)


@pytest.mark.usefixtures("added")
def test_help_and_errors_name_the_method_and_its_settings(capsys):
    assert main([*FLOW, "--help"]) == 0
    assert "adversarial-hbar, toy, NAME+awp" in " ".join(capsys.readouterr().out.split())
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
    rendered = rendering_only("information-flow", "comparison")  # of a training, and of all
    monkeypatch.setattr("infoplane.report.figure.save_figure", rendered)
    assert (
        main([*FLOW, "--run", "run", "--methods", "normal", "toy", "toy+awp", *SMALL, "--method.toy-share=0.25"]) == 0
    )
    assert "toy+awp" in capsys.readouterr().out
    settings = json.loads((tmp_path / "run/config.json").read_text())["settings"]
    assert settings["methods"] == ["normal", "toy", "toy+awp"]
    assert settings["method"]["toy_share"] == 0.25
    assert settings["method"]["trades_beta"] == 6
    spent = pl.read_parquet(tmp_path / "run/performance/*e0001.parquet").group_by("training")
    passes = {name: number / 60 for name, number in spent.agg(pl.col("gradient_evaluations").max()).rows()}
    assert passes == {"normal": 1, "toy": 4 + 2, "toy+awp": 4 + 2 + 2}
    assert "toy training" in (tmp_path / "run/report.html").read_text()
    assert (tmp_path / "run/figures/information-flow-toy+awp-s0.svg").is_file()


def test_the_list_and_its_help_are_read_without_torch():
    code = (
        "import sys\n"
        "from tests.toys.method import TOY\n"
        "from infoplane.training.catalogue import METHODS\n"
        "METHODS.append(TOY)\n"
        "import infoplane.commands.cli as cli\n"
        "cli.main(['flow', 'digits-lenet5', '--help'])\n"
        "assert not {'torch', 'polars', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "toy" in done.stdout


GUIDE = (Path(__file__).parents[2] / "docs" / "training.md").read_text()


def test_the_guides_example_of_ones_own_method_runs_as_pasted(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, flags=re.DOTALL)
    (tmp_path / "my_methods.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_methods", raising=False)
    monkeypatch.setattr(html, "write_report", lambda run, found, **_: run.path / "report.html")
    (line,) = re.findall(r"infoplane flow mnist-lenet5 (--methods .*)", GUIDE)
    assert main([*FLOW, "--run", "run", *line.split(), *SMALL]) == 0
    assert "smoothed+awp" in capsys.readouterr().out
    assert set(pl.read_parquet("run/performance/*.parquet")["training"]) == {"normal", "smoothed", "smoothed+awp"}
    run = RunFolder("run")
    missing = missing_parts(run.measurements(), run.performance(), run.read_config()["settings"])
    assert not [part for part in missing if part.startswith("Nothing has been recorded")]


def test_the_guide_lists_all_methods_in_their_order():
    table = re.findall(r"^\| `(\w[\w+-]*)` \|", GUIDE, flags=re.MULTILINE)
    assert table == [*(spec.name for spec in METHODS), *(f"NAME+{spec.name}" for spec in WRAPPERS)]
    # the records, findings and figures know these two by their names
    assert {NORMAL_TRAINING, ADVERSARIAL_TRAINING} <= {spec.name for spec in METHODS}
    assert [spec.name for spec in METHODS if not spec.attacks] == [NORMAL_TRAINING, "vib", "ceb", "nib", "hbar"]


def test_no_two_methods_share_a_name_or_a_setting():
    specs = [*METHODS, *WRAPPERS]
    assert len({spec.name for spec in specs}) == len(specs)
    names = [name for spec in specs for name in spec.settings.model_fields]
    assert sorted(names) == sorted(set(names))
    assert sorted(names) == sorted(all_settings().model_fields)
    for spec in specs:
        assert "\n" not in spec.description
        assert all(field.description for field in spec.settings.model_fields.values())
