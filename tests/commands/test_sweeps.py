"""`infoplane geometry` and `infoplane limits`, as a person types their options."""

import json
import os
import subprocess
import sys

import polars as pl
import pytest
import tyro
from tests.drawing_little import rendering_only
from tests.few_places import keep_few_places

from infoplane.commands.geometry import GeometryOptions, geometry
from infoplane.commands.limits import LimitsOptions, limits
from infoplane.errors import UserError
from infoplane.records.sweeps import CLOSED_FORM, SWEEP_SCHEMA
from infoplane.report import geometry_sweeps
from infoplane.runs.folder import RunFolder

COMMANDS = {"geometry": (geometry, GeometryOptions), "limits": (limits, LimitsOptions)}
FIGURES = {"geometry": {"geometry-sweeps", "artefact-sweeps", "four-clouds"}, "limits": {"limits"}}
SIZES = ("--points", "100", "--replicates", "2")


def run(name, *arguments):
    command, options = COMMANDS[name]
    return command(tyro.cli(options, args=[*map(str, arguments)]))


@pytest.fixture(scope="module", params=list(COMMANDS))
def finished(request, tmp_path_factory):
    """A small study: its name, folder, and what it printed."""
    folder = tmp_path_factory.mktemp(request.param) / "out"
    with pytest.MonkeyPatch.context() as monkeypatch:
        keep_few_places(monkeypatch)
        monkeypatch.setenv("COLUMNS", "120")
        capture = request.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled(), (folder.parent / "printed").open("w") as printed:
            monkeypatch.setattr(sys, "stdout", printed)
            assert run(request.param, "--output", folder, "--seed", 3, *SIZES) == 0
    return request.param, folder, (folder.parent / "printed").read_text()


def test_it_writes_records_settings_and_figures_and_nothing_else(finished):
    name, folder, _ = finished
    records = pl.read_parquet(folder / "records.parquet")
    assert records.schema == SWEEP_SCHEMA
    assert records.filter(pl.col("estimator") != CLOSED_FORM)["replicate"].n_unique() == 2
    config = json.loads((folder / "config.json").read_text())
    assert config["study"] == name
    assert config["settings"]["points"] == 100
    assert config["settings"]["seed"] == 3
    assert config["environment"]["torch"].startswith("2.")
    written = {path.name for path in (folder / "figures").iterdir()}
    assert written == {f"{figure}.{suffix}" for figure in FIGURES[name] for suffix in ("svg", "png", "pdf")}
    others = {path.name for path in folder.iterdir()} - {".lock", "clouds.parquet", "manifest.sha256"}
    assert others == {"records.parquet", "config.json", "figures"}


def test_it_prints_progress_a_table_and_where_things_lie(finished):
    name, folder, printed = finished
    assert "draw 2 of 2" in printed
    for words in {"geometry": ("overall spread", "I(T;Y)", "rises", "level"), "limits": ("layer of eight values",)}[
        name
    ]:
        assert words in printed
    assert f"records: {folder / 'records.parquet'}" in printed
    assert f"figures: {folder / 'figures'}" in printed
    assert max(len(line) for line in printed.splitlines() if str(folder) not in line) <= 120


def test_a_second_time_gives_the_same_records(finished, monkeypatch, capsys):
    name, folder, _ = finished
    keep_few_places(monkeypatch)
    monkeypatch.setattr("infoplane.report.figure.save_figure", rendering_only())
    before = (folder / "records.parquet").read_bytes()
    (folder / "records.parquet").write_bytes(b"not the same")
    assert run(name, "--output", folder, "--seed", 3, *SIZES) == 0
    assert (folder / "records.parquet").read_bytes() == before


def test_records_of_other_settings_are_not_replaced(finished):
    name, folder, _ = finished
    before = (folder / "records.parquet").read_bytes()
    with pytest.raises(UserError, match=r"holds records with seed = 3, but this run asks for 4; .* --output"):
        run(name, "--output", folder, "--seed", 4, *SIZES)
    assert (folder / "records.parquet").read_bytes() == before
    assert json.loads((folder / "config.json").read_text())["settings"]["seed"] == 3


def test_settings_that_gave_no_records_are_replaced(tmp_path, monkeypatch, capsys):
    keep_few_places(monkeypatch)
    monkeypatch.setattr("infoplane.report.figure.save_figure", rendering_only())
    RunFolder(tmp_path).write_config("limits", {"seed": 7}, {})
    assert run("limits", "--output", tmp_path, *SIZES) == 0
    assert json.loads((tmp_path / "config.json").read_text())["settings"]["seed"] == 0


@pytest.mark.parametrize("name", list(COMMANDS))
def test_the_folder_of_another_study_stays_as_it_is(name, tmp_path):
    RunFolder(tmp_path).write_config("information-flow", {}, {})
    config = (tmp_path / "config.json").read_text()
    with pytest.raises(UserError, match=r"holds the study 'information-flow'; choose another folder with --output"):
        run(name, "--output", tmp_path)
    assert (tmp_path / "config.json").read_text() == config


def test_records_are_there_when_drawing_fails(tmp_path, monkeypatch, capsys):
    keep_few_places(monkeypatch)
    monkeypatch.setattr(geometry_sweeps, "geometry_sweep_figure", lambda measurements: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run("geometry", "--output", tmp_path, *SIZES)
    assert not pl.read_parquet(tmp_path / "records.parquet").is_empty()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("option", [("--points", "99"), ("--replicates", "1"), ("--seed", "-1")])
@pytest.mark.parametrize("name", list(COMMANDS))
def test_sizes_that_mean_nothing_are_refused(name, option, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(name, "--output", tmp_path, *option)
    assert stopped.value.code == 2
    assert option[0].lstrip("-") in capsys.readouterr().err


def test_options_are_known_before_torch_is_loaded():
    code = (
        "import sys, infoplane.commands.geometry, infoplane.commands.limits\n"
        "assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules and 'polars' not in sys.modules"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
