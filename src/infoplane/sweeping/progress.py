"""How far the runs of a sweep are, from their states and logs."""

import json
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from infoplane.config import FlowConfig
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.grid import Point
from infoplane.sweeping.state import State

LOST = "lost"


class PointProgress(NamedTuple):
    """How far one run is.

    Attributes:
        point: of the sweep.
        status: that of its state, or "lost" if its process is gone without a word.
        done: completed epochs of all its trainings together.
        epochs: planned ones; a training may end earlier.
        seconds_left: until its end, if one process works on it; None if nothing is known yet.
        line: why it failed, or where its process is.
    """

    point: Point
    status: str
    done: int
    epochs: int
    seconds_left: float | None
    line: str


def sweep_progress(folder: SweepFolder, configs: Mapping[str, FlowConfig]) -> list[PointProgress]:
    """Return how far each point is.

    Args:
        folder: of the sweep.
        configs: settings by name of the point, in the order of the sweep.
    """
    _, points = folder.read()
    states = {point.name: folder.state(point.name) for point in points}
    trained = {point.name: _trained_epochs(folder, point.name) for point in points}
    paces = {
        point.name: pace for point in points if (pace := _pace(states[point.name], trained[point.name])) is not None
    }
    found = []
    for point in points:
        config, state, epochs = configs[point.name], states[point.name], trained[point.name]
        planned = config.training.epochs * len(config.methods)
        status = LOST if state.is_lost() else state.status
        left = None
        if status == "done":
            left = 0.0
        elif (pace := _likely_pace(point, points, paces)) is not None:
            left = max(planned - len(epochs), 0) * pace
        found.append(
            PointProgress(point, status, len(epochs), planned, left, _line(status, state, folder.log_path(point.name)))
        )
    return found


def seconds_left(progress: Sequence[PointProgress]) -> float | None:
    """Return the time until the whole sweep ends, with as many processes as there are now; None if it is unknown.

    Runs that stopped or were lost count, since the sweep continues them; failed ones wait for the next command.
    """
    open_ones = [one for one in progress if one.status not in ("done", "failed")]
    processes = sum(one.status == "running" for one in open_ones)
    if not processes or any(one.seconds_left is None for one in open_ones):
        return None
    each = [one.seconds_left or 0.0 for one in open_ones]
    return max(sum(each) / processes, *each)


def _line(status: str, state: State, log: Path) -> str:
    match status:
        case "failed":
            return f"{state.error} (log: {log}); the same sweep tries it again"
        case "running":
            return f"process {state.pid} on {state.host}"
        case "lost":
            ago = max(time.time() - state.seen, 0)
            return f"process {state.pid} on {state.host} is gone since {ago:.0f} s; the same sweep continues it"
        case "stopped":
            return "the same sweep continues it"
    return ""


def _trained_epochs(folder: SweepFolder, name: str) -> dict[tuple[str, int], float]:
    """Return when each epoch of each training was first completed, from the run's log."""
    epochs: dict[tuple[str, int], float] = {}
    try:
        lines = (folder.run_path(name) / "log.jsonl").read_text("utf-8", "replace").splitlines()
    except OSError:
        return {}
    for line in lines:
        try:
            event: dict[str, Any] = json.loads(line)
            if event["event"] == "trained":
                when = datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%S%z").timestamp()
                epochs.setdefault((str(event["training"]), int(event["epoch"])), when)
        except (ValueError, TypeError, KeyError):  # a line that a killed process left
            continue
    return epochs


def _pace(state: State, epochs: Mapping[tuple[str, int], float]) -> float | None:
    """Return the seconds for each epoch, measuring included, in the last sitting of a run."""
    own = [when for when in epochs.values() if when >= int(state.began)]
    if not own:
        return None
    end = state.seen if state.status == "done" else max(own)
    return max(end - state.began, 0.0) / len(own)


def _likely_pace(point: Point, points: Sequence[Point], paces: Mapping[str, float]) -> float | None:
    """Return the pace of a run, or the mean of the runs that are most like it."""
    if point.name in paces:
        return paces[point.name]
    known = [one for one in points if one.name in paces]
    alike = [
        [one for one in known if (one.recipe, one.method) == (point.recipe, point.method)],
        [one for one in known if one.recipe == point.recipe],
        known,
    ]
    nearest = next((some for some in alike if some), [])
    return fmean(paces[one.name] for one in nearest) if nearest else None
