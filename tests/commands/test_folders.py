"""A folder belongs to one study; what belongs to another, or to none, is refused and left as it was."""

import os
from pathlib import Path

import polars as pl
import pytest

from infoplane.commands.cli import main
from infoplane.errors import UserError
from infoplane.records.sweeps import sweep_table
from infoplane.runs.folder import RunFolder


def sweep(path: Path) -> Path:
    """The folder of a study of sweeps."""
    folder = RunFolder(path)
    folder.write_config(path.name, {"seed": 3}, {})
    folder.write_table(path / "records.parquet", sweep_table([]))
    return path


def calibration(path: Path) -> Path:
    """The folder of a calibration."""
    (path / "cells").mkdir(parents=True)
    (path / "cells" / "one.json").write_text("{}")
    return path


def run(path: Path) -> Path:
    """The folder of a run that has not measured anything yet."""
    RunFolder(path).begin("information-flow", {"recipe": "digits-lenet5"}, {})
    return path


FOLDERS = {"geometry": sweep, "limits": sweep, "calibration": calibration, "information-flow": run}


def complaint(capsys, *arguments: object) -> str:
    assert main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("study", FOLDERS)
@pytest.mark.parametrize(
    ("own", "command"),
    [
        ("information-flow", ("flow", "digits-lenet5", "--run")),
        ("information-flow", ("demo", "--run")),
        ("geometry", ("geometry", "--output")),
        ("limits", ("limits", "--output")),
        ("calibration", ("calibrate", "--quick", "--output")),
    ],
)
def test_no_study_writes_into_the_folder_of_another(study, own, command, tmp_path, capsys):
    if study == own:
        return
    folder = FOLDERS[study](tmp_path / study)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    line = complaint(capsys, *command, folder)
    assert line == f"infoplane: {folder} holds the study '{study}'; choose another folder with {command[-1]}"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"} == before


REFUSED = ("flow", "digits-lenet5", "--methods", "vib", "--deterministic", "--device", "cpu", "--quiet", "--run")


def test_a_new_run_that_is_refused_before_it_measures_leaves_no_folder(tmp_path, capsys):
    assert "vib trains a network with noise of its own" in complaint(capsys, *REFUSED, tmp_path / "runs" / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_before_a_refused_run_stays(tmp_path, capsys):
    complaint(capsys, *REFUSED, tmp_path)
    assert RunFolder(tmp_path).study() == "information-flow"


def begin_and_fail(folder: RunFolder, error: type[BaseException], files: tuple[str, ...]) -> None:
    with folder.locked():
        folder.begin("information-flow", {"recipe": "digits-lenet5"}, {})
        for name in files:
            (folder.path / name).write_text("mine")
        raise error


@pytest.mark.parametrize(("error", "files"), [(UserError, ("notes.txt",)), (KeyboardInterrupt, ())])
def test_a_new_folder_keeps_its_settings_beside_any_other_file_and_after_an_interruption(error, files, tmp_path):
    folder = RunFolder(tmp_path / "new")
    with pytest.raises(error):
        begin_and_fail(folder, error, files)
    assert folder.study() == "information-flow"
    assert [name for name in files if (folder.path / name).read_text() != "mine"] == []


@pytest.mark.parametrize("study", ["geometry", "limits", "calibration"])
def test_a_report_of_what_is_no_run_names_the_folders_it_takes(study, tmp_path, capsys):
    folder = FOLDERS[study](tmp_path / study)
    line = complaint(capsys, "report", folder)
    assert f"{folder} holds the study '{study}'" in line
    assert line.endswith("infoplane report takes a folder that infoplane flow or demo made")
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("command", ["report", "distortion"])
def test_a_file_is_no_run_folder(command, tmp_path, capsys):
    (tmp_path / "file.txt").write_text("")
    line = complaint(capsys, command, tmp_path / "file.txt")
    said = f"infoplane: {tmp_path / 'file.txt'} is no run folder: it holds no config.json; "
    assert line == f"{said}name the folder that a study wrote"


@pytest.mark.parametrize(
    ("command", "option"),
    [(("geometry",), "--output"), (("limits",), "--output"), (("calibrate",), "--output"), (("demo",), "--run")],
)
def test_a_file_in_place_of_a_folder_is_answered_by_the_option_that_names_it(command, option, tmp_path, capsys):
    (tmp_path / "file.txt").write_text("")
    line = complaint(capsys, *command, option, tmp_path / "file.txt")
    assert line.endswith(f"file.txt cannot be a folder, since it is a file; choose another with {option}")


@pytest.mark.parametrize("table", [pl.DataFrame({"x": [1]}), sweep_table([]).with_columns(more=pl.lit(1))])
def test_sweeps_of_other_columns_in_a_run_are_named(table, tmp_path, capsys):
    folder = run(tmp_path / "run")
    RunFolder(folder / "sweeps").write_table(folder / "sweeps" / "records.parquet", table)
    line = complaint(capsys, "report", folder)
    assert f"{folder / 'sweeps' / 'records.parquet'} cannot be read" in line
    assert "delete" not in line


def test_sweeps_that_were_changed_in_a_run_are_named(tmp_path, capsys):
    folder = run(tmp_path / "run")
    records = folder / "sweeps" / "records.parquet"
    RunFolder(folder / "sweeps").write_table(records, sweep_table([]))
    records.write_bytes(records.read_bytes()[:-1])
    line = complaint(capsys, "report", folder)
    assert f"{records} was changed after infoplane wrote it" in line
    assert line.endswith("delete it and run infoplane geometry again")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: os.mkfifo(path), lambda path: path.symlink_to("elsewhere")])
def test_something_else_in_the_place_of_a_file_is_one_line(make, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    make(tmp_path / "run" / "log.jsonl")
    options = ["--data.train-examples=60", "--data.test-examples=40", "--training.epochs=1", "--methods=normal"]
    assert main(["flow", "digits-lenet5", "--run", str(tmp_path / "run"), *options, "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "log.jsonl" in line
    assert line.endswith("or choose another folder")


@pytest.mark.parametrize("command", ["report", "export"])
def test_an_output_that_cannot_be_a_folder_is_one_line(command, tmp_path, capsys):
    (tmp_path / "file.txt").write_text("")
    more = ["--csv"] if command == "export" else []
    line = complaint(capsys, command, run(tmp_path / "run"), *more, "--output", tmp_path / "file.txt")
    assert line == f"infoplane: {tmp_path}/file.txt cannot be a folder, since it is a file; choose another folder"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, a file system that takes no new folders")
def test_a_file_system_without_room_for_folders_is_one_line(tmp_path, capsys):
    line = complaint(capsys, "export", run(tmp_path / "run"), "--csv", "--output", "/proc/nope")
    assert line.startswith("infoplane: /proc/nope cannot be a folder, since /proc takes no new ones (")
