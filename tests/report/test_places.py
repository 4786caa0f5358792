"""A run may lie anywhere: its path is a path, and what is drawn may go elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.command import assert_one_clear_line, drawing, entry, infoplane
from tests.drawing_little import rendering_only

from infoplane.commands.cli import main
from infoplane.errors import UserError
from infoplane.report.html import write_report
from infoplane.runs.folder import RunFolder

ONE = ("information-flow",)
NAMES = ["lr[01]", "lr*", "lr?", "~", "file:lr0", "s3:lr0", "%41", os.fsdecode(b"lr\xff"), "a b\nc"]


@pytest.fixture(scope="module")
def small(make_run, tmp_path_factory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("places") / "lr0", epochs=(0, 1), layers=("fc",))


@pytest.fixture(scope="module")
def other(make_run, tmp_path_factory) -> RunFolder:
    """A run whose name the patterns below match."""
    return make_run(tmp_path_factory.mktemp("others") / "lr1", epochs=(0, 1, 2), layers=("first", "second"))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_looks_like_a_pattern_or_an_address_is_a_name(name, small, other, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(other.path, tmp_path / "lr0")
    shutil.copytree(other.path, tmp_path / "lr1")
    shutil.copytree(small.path, tmp_path / name)
    monkeypatch.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])
    for run in (RunFolder(name), RunFolder(tmp_path / name)):
        assert set(run.measurements()["epoch"]) == {0, 1}
        assert set(run.geometry()["layer"]) == {"fc"}
        assert set(run.performance()["epoch"]) == {0, 1}
    assert main(["report", str(tmp_path / name), "--json"]) == 0
    page = (tmp_path / name / "report.html").read_text()
    assert "; 1 epoch; " in page
    assert json.loads(capsys.readouterr().out)


def test_the_command_prints_the_place_of_a_report_whose_name_is_no_text(small, tmp_path, capsys):
    run = tmp_path / os.fsdecode(b"r\xff[0]")
    shutil.copytree(small.path, run)
    done = infoplane("report", run, drawn=ONE)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{tmp_path}/r?[0]/report.html"
    assert (run / "figures" / "information-flow-normal-s3.svg").is_file()
    (run / "config.json").write_text("{}")
    assert main(["report", str(run)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.fixture
def one_figure(monkeypatch):
    """All are made, and one is rendered, which takes long."""
    monkeypatch.setattr("infoplane.report.figure.save_figure", rendering_only(*ONE))


@pytest.mark.usefixtures("one_figure")
def test_a_report_goes_elsewhere_and_leaves_the_run_as_it_was(small, tmp_path):
    before = {path: path.read_bytes() for path in small.path.rglob("*") if path.is_file()}
    path = write_report(small, output=tmp_path / "else" / "where")
    assert path == tmp_path / "else" / "where" / "report.html"
    assert {path: path.read_bytes() for path in small.path.rglob("*") if path.is_file()} == before
    assert (path.parent / "findings.json").is_file()
    assert list((path.parent / "figures").glob("*.svg"))
    assert "figures/information-flow-normal-s3.svg</code>" in path.read_text()


def test_a_report_does_not_go_into_another_run(small, other, capsys):
    before = {path: path.read_bytes() for path in other.path.rglob("*") if path.is_file()}
    assert main(["report", str(small.path), "--output", str(other.path)]) == 2
    assert f"{other.path} holds a run of its own; choose another folder with --output" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in other.path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("reason", ["Read-only file system", "Permission denied"])
def test_a_folder_that_cannot_be_written_is_one_line_with_the_option(reason, small, monkeypatch):
    number = {"Read-only file system": 30, "Permission denied": 13}[reason]

    def refuse(path, content):
        raise OSError(number, reason, str(path))

    monkeypatch.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])
    monkeypatch.setattr("infoplane.report.html.write_whole", refuse)
    with pytest.raises(UserError, match=rf"findings.json cannot be written \({reason}\); .* --output FOLDER"):
        write_report(small)


@pytest.fixture
def open_path():
    """A folder that everybody can enter; pytest closes the parents of its own."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_somebody_elses_folder_is_reported_elsewhere(small, open_path):
    if os.geteuid() or not Path("/usr/bin/setpriv").exists():
        pytest.skip("needs root and setpriv to be somebody else")
    shutil.copytree(small.path, open_path / "run")
    (open_path / "mine").mkdir()
    shutil.chown(open_path / "mine", 65534, 65534)
    other = ["/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    somebody = [*other, *entry(ONE)]
    more = {"capture_output": True, "text": True, "check": False, "timeout": 240, "cwd": open_path}
    more["env"] = drawing(ONE, HOME=str(open_path / "mine"), MPLCONFIGDIR=str(open_path / "mine"))
    if subprocess.run([*other, sys.executable, "-c", "import infoplane"], **more).returncode:
        pytest.skip("somebody else cannot start this Python")
    assert_one_clear_line(subprocess.run([*somebody, "report", "run"], **more), "Permission denied", "--output FOLDER")
    done = subprocess.run([*somebody, "report", "run", "--output", "mine/report"], **more)
    assert done.returncode == 0, done.stderr
    assert (open_path / "mine" / "report" / "report.html").is_file()
    assert (open_path / "mine" / "report" / "figures" / "information-flow-normal-s3.svg").is_file()
    line = subprocess.run([*somebody, "flow", "digits-lenet5", "--run", "run"], **more)
    assert_one_clear_line(line, "run cannot be written to (Permission denied); choose another folder with --run")


@pytest.mark.usefixtures("one_figure")
def test_drawn_files_are_in_the_manifest(small, tmp_path):
    shutil.copytree(small.path, tmp_path / "run")
    write_report(RunFolder(tmp_path / "run"))
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "manifest.sha256"], cwd=tmp_path / "run", check=False
    )
    assert done.returncode == 0
    assert (tmp_path / "run" / "figures" / "information-flow-normal-s3.svg").is_file()
    listed = {line.split("  ")[1] for line in (tmp_path / "run" / "manifest.sha256").read_text().splitlines()}
    there = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert there - listed == {"manifest.sha256"}


def test_reports_of_nothing_are_named(tmp_path, capsys):
    assert main(["report", str(tmp_path / "no[thing]")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no[thing] is no run folder" in line
