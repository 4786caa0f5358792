import math
import multiprocessing
import os
import signal
import statistics
from dataclasses import replace

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from torch import Tensor

from infoplane.calibration import cells
from infoplane.calibration import table as calibration
from infoplane.calibration.cells import DISCIPLINES, CalibrationConfig, Cell, Discipline, Replicates, measure_cell
from infoplane.calibration.estimator_cases import CHANNEL_FITS, LABEL_FITS, PAIR_FITS, Fit, Reading
from infoplane.calibration.table import CALIBRATION_SCHEMA, holds, summary
from infoplane.errors import UserError
from infoplane.estimators import Estimate
from infoplane.estimators.tasks import CHANNEL_TASKS, LABEL_TASKS, PAIR_TASKS, LabelTask, NamedTask
from infoplane.runs.folder import RunFolder

CHEAP = CalibrationConfig(quick=True, estimators=("kde", "noisy"), tasks=("two-points-2", "two-points-4"))


@pytest.fixture(scope="module")
def planned():
    """The cells of the whole calibration."""
    return cells.planned_cells(CalibrationConfig())


class Listener:
    """A progress that remembers, and that may do something after a number of finished cells."""

    def __init__(self, after: int = 0, act=lambda: None):
        self.lines, self.work, self.done = [], 0.0, 0.0
        self._after, self._act = after, act

    def begin(self, work):
        self.work = work

    def advance(self, work):
        self.done += work

    def doing(self, activity):
        pass

    def say(self, line):
        self.lines.append(line)
        if len(self.lines) == self._after:
            self._act()


def interrupt():
    raise KeyboardInterrupt


def estimate(error):
    facts = {"quantity": "I(T;Y)", "kind": "estimate", "distribution": "population", "estimator": "e"}
    return Estimate(value=0.0, error=error, **facts)


def reading(value, low=None, high=None, kind="estimate", flagged=None, null_like=None):
    return Reading("some", "I(T;Y)", kind, value, low, high, flagged, null_like)


# what a table says about an estimator


@pytest.mark.parametrize(
    ("kind", "low", "high", "held"),
    [
        ("estimate", 0.9, 1.1, True),
        ("estimate", 1.1, 1.2, False),
        ("estimate", 0.7, 0.9, False),
        ("lower", 0.7, 0.9, True),
        ("lower", 0.9, 1.1, True),
        ("lower", 1.1, 1.2, False),
        ("upper", 1.1, 1.2, True),
        ("upper", 0.9, 1.1, True),
        ("upper", 0.7, 0.9, False),
    ],
)
def test_an_interval_is_held_to_what_its_number_claims(kind, low, high, held):
    assert holds(kind, low, high, truth=1.0) is held


def test_replicates_come_down_to_error_spread_and_coverage():
    values = [1.0, 1.2, 1.7, 0.9]
    found = summary([reading(v, v - 0.196, v + 0.196, flagged=v > 1.5, null_like=v < 1.1) for v in values], truth=1.1)
    assert found["mean_error_nats"] == pytest.approx(0.1)
    assert found["spread_nats"] == pytest.approx(statistics.stdev(values))
    assert found["stated_error_nats"] == pytest.approx(0.196 / 1.959964)
    assert (found["intervals_holding"], found["flagged"], found["null_like"]) == (2, 1, 2)
    assert found["values_nats"] == values
    assert found["lows_nats"] == pytest.approx([v - 0.196 for v in values])
    assert found["highs_nats"] == pytest.approx([v + 0.196 for v in values])


def test_what_an_estimator_does_not_state_is_left_empty():
    found = summary([reading(1.0), reading(2.0)], truth=1.0)
    empty = ("stated_error_nats", "intervals_holding", "flagged", "null_like", "lows_nats", "highs_nats")
    assert [found[name] for name in empty] == [None] * len(empty)


def test_infinite_values_are_kept():
    found = summary([reading(math.inf, math.nan, math.inf), reading(1.0, 0.5, 1.5)], truth=1.0)
    assert found["mean_error_nats"] == math.inf
    assert found["intervals_holding"] == 1


# what is planned


def test_the_whole_calibration_meets_every_task_with_every_estimator_that_can(planned, generator):
    for fits, tasks in ((CHANNEL_FITS, CHANNEL_TASKS), (LABEL_FITS, LABEL_TASKS), (PAIR_FITS, PAIR_TASKS)):
        for task in tasks.values():
            widths = [part.shape[1] for part in task.draw(20, generator) if isinstance(part, Tensor) and part.ndim == 2]
            expected = [(name, sum(widths)) for name, fit in fits.items() if sum(widths) <= fit.most_features]
            assert [(cell.fit, cell.features) for cell in planned if cell.task == task.name] == expected
    digits = {cell.task for cell in planned} - {*CHANNEL_TASKS, *LABEL_TASKS, *PAIR_TASKS}
    assert digits == {f"digit-{what}-8px-{flip}" for what in ("labels", "pairs") for flip in (0, 0.2)}


@pytest.mark.parametrize("task", ["digit-labels-8px-0.2", "digit-pairs-8px-0.2"])
def test_digits_carry_what_a_symmetric_channel_leaves_of_ten_classes(task, generator):
    named = DISCIPLINES["label" if "labels" in task else "pair"].tasks[task]
    drawn = named.draw(30, generator)
    information = math.log(10) + 0.8 * math.log(0.8) + 0.2 * math.log(0.2 / 9)
    assert named.information == drawn.information == pytest.approx(information)
    assert drawn[0].shape == (30, 64)
    assert 0.9 < drawn[0].max() <= 1


def test_a_quick_calibration_meets_each_kind_of_task_with_fewer_samples():
    quick = cells.planned_cells(CalibrationConfig(quick=True))
    assert {cell.discipline for cell in quick} == {"channel", "label", "pair"}
    assert {cell.task for cell in quick} == set(cells._QUICK_TASKS)
    assert all(cell.samples <= 1000 for cell in quick)
    assert sum(cell.expected_seconds for cell in quick) < 120
    chosen = cells.planned_cells(CalibrationConfig(quick=True, estimators=("decoded-mlp",)))
    assert {cell.fit for cell in chosen} == {"decoded-mlp"}  # asked for by name, so no longer left out


def test_cells_have_files_of_their_own_that_change_with_what_decides_the_numbers(planned):
    names = {cell.file_name for cell in planned}
    assert len(names) == len(planned)
    for part in ("kde", "noisy"):
        only = CalibrationConfig(estimators=(part,))
        assert {cell.file_name for cell in cells.planned_cells(only)} < names
        for change in ({"seed": 1}, {"quick": True}):
            assert not names & {cell.file_name for cell in cells.planned_cells(replace(only, **change))}


@pytest.mark.parametrize(
    "change",
    [
        ("environment", lambda: {"torch": "another"}),
        ("_draw_fingerprint", lambda drawn: "another sampler"),
    ],
    ids=lambda change: change[0],
)
def test_another_machine_or_sampler_makes_another_cell(change, monkeypatch):
    before = {cell.file_name for cell in cells.planned_cells(CHEAP)}
    monkeypatch.setattr(cells, *change)
    assert not before & {cell.file_name for cell in cells.planned_cells(CHEAP)}


def test_a_raised_version_makes_new_cells_of_that_estimator_alone(monkeypatch):
    before = {cell.file_name: cell for cell in cells.planned_cells(CHEAP)}
    fits = DISCIPLINES["channel"].fits
    monkeypatch.setitem(fits, "kde", replace(fits["kde"], version=fits["kde"].version + 1))
    after = {cell.file_name: cell for cell in cells.planned_cells(CHEAP)}
    assert {cell.fit for name, cell in before.items() if name not in after} == {"kde"}
    assert {cell.fit for name, cell in before.items() if name in after} == {"noisy"}


def test_a_new_estimator_leaves_the_cells_of_all_others(monkeypatch):
    everything = CalibrationConfig(quick=True)
    before = {cell.file_name for cell in cells.planned_cells(everything)}
    monkeypatch.setitem(LABEL_FITS, "toy", replace(LABEL_FITS["ross"], names={"toy": "Toy"}))
    added = [cell for cell in cells.planned_cells(everything) if cell.file_name not in before]
    assert {cell.fit for cell in added} == {"toy"}
    assert before < {cell.file_name for cell in cells.planned_cells(everything)}


def test_draws_differ_in_fingerprint_by_any_of_their_parts(generator):
    task = LABEL_TASKS["gaussians-16-a2"].draw(5, generator)
    others = (
        task._replace(activations=task.activations + 1e-6),
        task._replace(labels=task.labels.flip(0)),
        task._replace(information=1.34),
    )
    assert len({cells._draw_fingerprint(one) for one in (task, *others)}) == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"estimators": ("kdee",)}, "unknown estimator 'kdee', did you mean 'kde'\\?; estimators are kde, noisy"),
        ({"tasks": ("xyz",)}, "unknown task 'xyz'; tasks are two-points-1"),
        ({"estimators": ("ksg",), "tasks": ("two-points-2",)}, "none of these estimators fits any of these tasks"),
    ],
)
def test_unknown_names_are_named(changes, message):
    with pytest.raises(UserError, match=message):
        cells.planned_cells(CalibrationConfig(**changes))


# how a cell is measured


def stand_in(monkeypatch, estimates):
    """A discipline of one task with two estimators; returns the cells of both."""
    task = NamedTask(
        name="task",
        information=0.5,
        draw=lambda samples, generator: LabelTask(
            torch.rand(samples, 2, generator=generator), torch.zeros(samples, dtype=torch.int64), 0.5
        ),
        truth="",
    )
    fits = {
        name: Fit(names={"e": "e"}, estimates=estimates, settings="", seconds=lambda n, d: 1.0)
        for name in ("first", "second")
    }
    monkeypatch.setitem(DISCIPLINES, "label", Discipline({"task": task}, fits, 4, 4, {"I(T;Y)": "I(T;Y)"}))
    settings = {"discipline": "label", "task": "task", "samples": 4, "features": 2, "version": 1, "fingerprint": ""}
    return [Cell(fit=name, seed=0, replicates=Replicates(many=7, few=3, limit=2.0), **settings) for name in fits]


def test_every_estimator_meets_the_same_fresh_draws_with_chance_of_its_own(monkeypatch):
    seen = []

    def readings(task, generator):
        seen.append((task.activations, torch.rand(1, generator=generator).item()))
        return [estimate(error=0.0)]

    for cell in stand_in(monkeypatch, readings):
        assert measure_cell(cell).truths == {"I(T;Y)": 0.5}
    first, second = seen[:7], seen[7:]
    assert all(torch.equal(one[0], other[0]) for one, other in zip(first, second, strict=True))
    assert len({tuple(drawn.flatten().tolist()) for drawn, _ in first}) == 7
    assert len({chance for _, chance in seen}) == 14


def test_another_seed_gives_other_numbers_and_the_same_one_the_same():
    cell = next(cell for cell in cells.planned_cells(CHEAP) if cell.fit == "noisy")
    first, again, other = (measure_cell(one).readings for one in (cell, cell, replace(cell, seed=1)))
    assert first == again
    values = [{one.value for replicate in readings for one in replicate} for readings in (first, other)]
    assert not values[0] & values[1]


@pytest.mark.parametrize(
    ("interval", "seconds", "replicates"),
    [
        (True, [9.0, 1.9, 9.0], 7),  # the first fit of a process loads libraries
        (True, [1.9, 2.1, 9.0], 7),
        (True, [2.0, 2.1, 9.0], 3),
        (False, [0.1, 0.1, 0.1], 3),
    ],
)
def test_many_replicates_where_an_interval_is_stated_and_a_fit_is_cheap(interval, seconds, replicates, monkeypatch):
    cell = stand_in(monkeypatch, lambda task, generator: [estimate(0.0 if interval else None)])[0]
    clock = [moment for number in range(9) for moment in (0.0, seconds[min(number, 2)])]
    monkeypatch.setattr(cells.time, "process_time", lambda: clock.pop(0))
    result = measure_cell(cell)
    assert len(result.readings) == len(result.seconds) == replicates
    assert result.seconds[:3] == seconds


# the whole protocol, in worker processes


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a small calibration, its table, and what its listener heard."""
    folder, listener = tmp_path_factory.mktemp("calibration"), Listener()
    return folder, calibration.calibration(CHEAP, folder, jobs=1, progress=listener), listener


def without_times(table):
    return table.drop("seconds")


def no_workers(jobs):
    raise AssertionError("nothing was left to do")


def test_the_table_has_a_row_per_number_in_the_order_of_tasks(finished):
    table = finished[1]
    assert dict(table.schema) == CALIBRATION_SCHEMA
    assert table["task"].unique(maintain_order=True).to_list() == ["two-points-2", "two-points-4"]
    assert len(table) == 2 * (6 + 2)
    assert table["replicates"].unique().to_list() == [10]
    assert table["values_nats"].list.n_unique().min() > 1
    about_labels = table.filter(pl.col("estimator") == "noisy (SP-MC)", pl.col("question") == "I(T;Y) under noise")
    row = about_labels.row(0, named=True)
    truth = 0.33683082
    assert row["truth_nats"] == pytest.approx(truth)
    assert row["mean_error_nats"] == pytest.approx(statistics.fmean(row["values_nats"]) - truth)
    # Four standard errors of the mean of ten.
    assert abs(row["mean_error_nats"]) < 4 * row["spread_nats"] / math.sqrt(10)
    assert (row["samples"], row["features"], row["fit"]) == (500, 2, "noisy")
    assert row["seconds"] > 0


def test_progress_hears_of_every_cell_and_ends_at_the_whole_work(finished):
    listener = finished[2]
    assert len(listener.lines) == 4
    assert any(line.startswith("kde on two-points-2: 10 fits, ") for line in listener.lines)
    assert listener.done == pytest.approx(listener.work)


def test_the_number_of_processes_changes_no_number(finished, tmp_path):
    assert_frame_equal(without_times(calibration.calibration(CHEAP, tmp_path, jobs=2)), without_times(finished[1]))


def test_a_finished_cell_is_not_repeated(finished, monkeypatch):
    monkeypatch.setattr(calibration, "worker_processes", no_workers)
    listener = Listener()
    assert_frame_equal(calibration.calibration(CHEAP, finished[0], jobs=1, progress=listener), finished[1])
    assert (listener.lines, listener.work) == (["4 of 4 cells are here already"], 0)


def test_an_interrupted_calibration_continues_where_it_was(finished, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        calibration.calibration(CHEAP, tmp_path, jobs=1, progress=Listener(1, interrupt))
    assert not multiprocessing.active_children()
    kept = {path: path.read_bytes() for path in (tmp_path / "cells").iterdir()}
    assert 1 <= len(kept) < 4
    table = calibration.calibration(CHEAP, tmp_path, jobs=1)
    assert_frame_equal(without_times(table), without_times(finished[1]))
    assert all(path.read_bytes() == content for path, content in kept.items())
    assert len(list((tmp_path / "cells").iterdir())) == 4


def test_the_longest_cells_come_first(monkeypatch, tmp_path, planned):
    order = []
    monkeypatch.setattr(calibration, "_measure", lambda missing, *others: order.extend(missing))
    with pytest.raises(FileNotFoundError):  # nothing was measured
        calibration.calibration(CalibrationConfig(), tmp_path)
    expected = [cell.expected_seconds for cell in order]
    assert expected == sorted(expected, reverse=True)
    assert len(order) == len(planned)


def test_a_damaged_cell_is_named(finished, tmp_path):
    kept = RunFolder(tmp_path)
    for path in (finished[0] / "cells").iterdir():
        kept.write_file(tmp_path / "cells" / path.name, b"[]")
    with pytest.raises(UserError, match=r"cells/.*json cannot be read .*; delete it and repeat the command"):
        calibration.calibration(CHEAP, tmp_path, jobs=1)
    for path in (tmp_path / "cells").iterdir():
        path.write_text("{}")
    with pytest.raises(UserError, match=r"cells/.*json was changed after .*, or delete it and repeat the command"):
        calibration.calibration(CHEAP, tmp_path, jobs=1)


def test_a_worker_that_is_killed_is_a_clear_error(tmp_path):
    def kill():
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)

    with pytest.raises(UserError, match=r"a worker process was ended from outside.*with fewer --jobs"):
        calibration.calibration(CHEAP, tmp_path, jobs=1, progress=Listener(1, kill))
    assert list((tmp_path / "cells").iterdir())
