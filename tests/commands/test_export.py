"""`infoplane export`: what is asked for is written, listed, and equal to the records."""

import hashlib
import shutil

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.report.conftest import synthetic_run
from tests.toys.figure import TOYS

from infoplane.commands.cli import main
from infoplane.records.tables import flat
from infoplane.report import figure_files
from infoplane.runs.folder import RunFolder
from infoplane.runs.records_hash import records_hash

TABLES = ("measurements", "performance", "geometry", "findings")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    return synthetic_run(tmp_path_factory.mktemp("export") / "run", epochs=(0, 1), layers=('a,"b"', "fc"))


@pytest.fixture
def run(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(figure_files, "FIGURES", TOYS[-1:])
    shutil.copytree(kept.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def test_all_is_written_and_listed_in_the_manifest(run, capsys):
    arguments = ["--latex", "--csv", "--parquet", "--figures", "svg", "pdf", "png"]
    assert main(["export", str(run.path), *arguments]) == 0
    names = [f"{name}.tex" for name in ("accuracy", "information", "claims")]
    names += [f"{name}.{form}" for form in ("csv", "parquet") for name in TABLES]
    names += [f"figures/toy-run.{form}" for form in ("svg", "pdf", "png")]
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(run.path / "export" / name) for name in names]
    listed = (run.path / "manifest.sha256").read_text().splitlines()
    for name in names:
        content = (run.path / "export" / name).read_bytes()
        assert f"{hashlib.sha256(content).hexdigest()}  export/{name}" in listed


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_tables_come_back_as_they_were_recorded(form, run, tmp_path):
    assert main(["export", str(run.path), f"--{form}", "--output", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(f"{name}.{form}" for name in TABLES)
    for name in TABLES[:3]:
        recorded = flat(getattr(run, name)())
        path = tmp_path / "out" / f"{name}.{form}"
        found = pl.read_parquet(path) if form == "parquet" else pl.read_csv(path, schema=recorded.schema)
        assert_frame_equal(found, recorded)


@pytest.mark.parametrize("place", ["", "measurements", "figures/more"])
def test_files_are_not_put_into_a_run(place, run, capsys):
    assert main(["export", str(run.path), "--csv", "--output", str(run.path / place)]) == 2
    assert "holds a run of its own; choose another folder with --output" in capsys.readouterr().err


def test_claims_of_the_study_are_not_exported_on_data_of_ones_own(run, tmp_path, monkeypatch):
    monkeypatch.setattr("infoplane.report.export.judges_claims", lambda config: False)
    assert main(["export", str(run.path), "--latex", "--csv", "--output", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"accuracy.tex", "information.tex", "measurements.csv", "performance.csv", "geometry.csv"}


def test_a_folder_elsewhere_leaves_the_run_as_it_was(run, tmp_path):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert main(["export", str(run.path), "--latex", "--output", str(tmp_path / "out")]) == 0
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_the_hash_of_a_run_follows_its_records_alone(run, tmp_path):
    before = records_hash(run)
    assert main(["export", str(run.path), "--latex"]) == 0
    assert records_hash(run) == before
    assert rf"\texttt{{{before}}}" in (run.path / "export" / "accuracy.tex").read_text()
    lines = [
        f"{hashlib.sha256((run.path / name).read_bytes()).hexdigest()}  {name}\n"
        for name in sorted(
            path.relative_to(run.path).as_posix()
            for path in run.path.rglob("*")
            if (path.suffix == ".parquet" and path.parent.name != "export") or path.name == "config.json"
        )
    ]
    assert hashlib.sha256("".join(lines).encode()).hexdigest()[:8] == before
    next((run.path / "performance").iterdir()).unlink()
    assert records_hash(run) != before


def test_saying_nothing_and_naming_no_run_are_mistakes_of_one_line(run, tmp_path, capsys):
    assert main(["export", str(run.path)]) == 2
    assert "say what to export: --latex" in capsys.readouterr().err
    assert main(["export", str(tmp_path / "none"), "--csv"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["export", str(run.path), "--figures", "gif"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (run.path / "export").exists()
