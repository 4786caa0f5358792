"""The time left of a sweep, from written states and logs."""

import json
import time
from datetime import UTC, datetime

import pytest

from infoplane.commands.sweep_points import SweepPoints
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.grid import Grid
from infoplane.sweeping.progress import LOST, seconds_left, sweep_progress
from infoplane.sweeping.state import State

EPOCHS = 10
BEGAN = float(int(time.time()) - 100)


@pytest.fixture
def folder(tmp_path):
    """A sweep of four runs of ten epochs: all have stopped."""
    found = SweepFolder(tmp_path)
    grid = Grid(
        recipes=("digits-lenet5",), methods=("normal",), seeds=4, settings={"training.epochs": ((str(EPOCHS),),)}
    )
    for point in found.begin(grid):
        found.write_state(point.name, State(status="stopped", began=BEGAN, seen=BEGAN))
    return found


def work(folder, seed, *, epochs, seconds, **state):
    """Let a run have completed `epochs` epochs, each of which took `seconds`."""
    name = f"digits-lenet5-s{seed}"
    folder.run_path(name).mkdir(parents=True)
    lines = []
    for epoch in range(1, epochs + 1):
        when = datetime.fromtimestamp(BEGAN + epoch * seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S%z")
        lines.append(json.dumps({"time": when, "event": "trained", "training": "normal", "epoch": epoch}))
    (folder.run_path(name) / "log.jsonl").write_text("\n".join(lines) + "\n")
    folder.write_state(
        name, State(**{"status": "running", "host": "far", "began": BEGAN, "seen": time.time(), **state})
    )


def progress(folder):
    flow, (_, points) = SweepPoints(), folder.read()
    return sweep_progress(folder, {point.name: flow.config(point) for point in points})


def test_runs_that_the_sweep_will_continue_count(folder):
    work(folder, 0, epochs=4, seconds=2)
    found = progress(folder)
    assert [one.seconds_left for one in found] == [12, 20, 20, 20]  # at the pace of the one that is known
    assert seconds_left(found) == 72  # one process
    work(folder, 1, epochs=5, seconds=4)
    found = progress(folder)
    assert [one.seconds_left for one in found] == [12, 20, 30, 30]
    assert seconds_left(found) == 46  # two processes


def test_lost_runs_count_and_failed_and_finished_ones_do_not(folder):
    work(folder, 0, epochs=4, seconds=2)
    work(folder, 1, epochs=4, seconds=2, seen=BEGAN)
    work(folder, 2, epochs=4, seconds=2, status="failed", error="no room")
    work(folder, 3, epochs=10, seconds=2, status="done", seen=BEGAN + 20)
    found = progress(folder)
    assert [one.status for one in found] == ["running", LOST, "failed", "done"]
    assert seconds_left(found) == 24
    assert "is gone since" in found[1].line
    assert found[2].line.startswith("no room (log: ")


def test_without_a_process_or_a_pace_nothing_is_known(folder):
    assert seconds_left(progress(folder)) is None
    work(folder, 0, epochs=0, seconds=2)
    assert seconds_left(progress(folder)) is None
