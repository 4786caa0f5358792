"""`infoplane calibrate`, through the installed entry point."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.command import infoplane, started
from tests.warm_process import Started

from infoplane.commands.cli import main

TASKS = ["two-points-2", "noisy-gaussians-10-a2"]
SETTINGS = ["--quick", "--jobs", "2", "--estimators", "kde", "noisy", "--tasks", *TASKS]
LONGER = [*SETTINGS, "noisy-gaussians-512-a2", "noisy-gaussians-512-a4"]  # still at work when it is interrupted


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small calibration through the command line: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("calibrate")
    done = infoplane("calibrate", *SETTINGS, "--output", folder / "out", "--document", folder / "docs" / "page.md")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_it_prints_progress_and_the_table_and_where_it_lies(finished):
    folder, printed = finished
    assert "kde on two-points-2: 10 fits" in printed
    assert "two-points-2: 0.3368" in printed
    assert "I(X;T) under noise, N = 500" in printed
    assert printed.count("Quick: few tasks") == 1
    assert f"table: {folder / 'out' / 'calibration.md'}" in printed
    assert max(len(line) for line in printed.splitlines() if "table: " not in line) <= 120


def test_it_writes_page_and_cells(finished):
    folder, _ = finished
    page = (folder / "out" / "calibration.md").read_text()
    assert (folder / "docs" / "page.md").read_text() == page
    for part in ("| command | infoplane calibrate --quick", "| date | 2", "| torch | 2.", "| processor | ", "Quick: "):
        assert part in page
    assert "| processes | 2, of one thread each |" in page
    cells = pl.read_parquet(folder / "out" / "cells.parquet")
    assert len(cells) == 2 * (6 + 2)
    assert set(cells["task"]) == set(TASKS)


def test_a_second_time_it_only_prints(finished):
    folder, _ = finished
    before = {path: path.read_bytes() for path in (folder / "out" / "cells").iterdir()}
    done = infoplane("calibrate", *SETTINGS, "--output", folder / "out")
    assert "4 of 4 cells are here already" in done.stdout
    assert " fits, " not in done.stdout
    assert {path: path.read_bytes() for path in (folder / "out" / "cells").iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--estimators", "kdee"], ["unknown estimator 'kdee'", "did you mean 'kde'?"]),
        (["--tasks", "two-points"], ["unknown task 'two-points'", "did you mean 'two-points-"]),
        (["--jobs", "0"], ["--jobs must be greater than or equal to 1, got 0"]),
        (["--document", "."], [". is a folder; name a file with --document"]),
    ],
)
def test_a_users_mistake_is_one_clear_line(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["calibrate", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words), line


def wait_for_a_cell(process: subprocess.Popen[str] | Started, folder: Path) -> None:
    while not list(folder.glob("cells/*.json")) and process.poll() is None:
        time.sleep(0.005)


def workers_of(process: Started | subprocess.Popen[str]) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def test_ctrl_c_keeps_finished_cells_and_says_how_to_continue(tmp_path):
    process = started("calibrate", *LONGER, "--output", tmp_path / "out")
    wait_for_a_cell(process, tmp_path / "out")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers, too
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 130, complaint
    assert complaint.strip() == (
        f"interrupted; finished cells are kept. To continue: infoplane calibrate {' '.join(LONGER)} "
        f"--output {tmp_path / 'out'}"
    )
    assert list((tmp_path / "out" / "cells").glob("*.json"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks for child processes in /proc")
def test_a_killed_calibration_leaves_no_workers_and_no_torn_files_and_continues(tmp_path, finished):
    process = started("calibrate", *LONGER, "--output", tmp_path / "out")
    wait_for_a_cell(process, tmp_path / "out")
    workers = workers_of(process)
    process.kill()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    assert workers
    for _ in range(400):
        if not any(Path(f"/proc/{number}").exists() for number in workers):
            break
        time.sleep(0.05)
    else:
        pytest.fail("workers outlived the calibration")
    done = infoplane("calibrate", *LONGER, "--output", tmp_path / "out")
    assert "of 8 cells are here already" in done.stdout
    found, expected = (
        pl.read_parquet(folder / "cells.parquet").drop("seconds").filter(pl.col("task").is_in(TASKS))
        for folder in (tmp_path / "out", finished[0] / "out")
    )
    assert_frame_equal(found, expected)
    assert not list((tmp_path / "out").rglob("*.tmp"))
