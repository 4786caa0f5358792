"""Trainings side by side, each by a process of its own: the same run, in less time."""

import pytest
import torch
from tests.studies.test_information_flow import Listener, assert_same_records, changed

from infoplane.distributed.side_processes import SideProcesses
from infoplane.errors import UserError
from infoplane.runs.folder import RunFolder
from infoplane.studies.flow.information_flow import information_flow


@pytest.fixture(scope="module")
def little_flow(small_flow):
    few = {"layers": ("conv2", "fc3"), "thorough_epochs": 0, "permutations": 2, "noise_sweep": (1.0,)}
    return changed(small_flow, measurement=few, seeds=2)


@pytest.fixture(scope="module")
def processes():
    with SideProcesses(2, preload="infoplane.studies.flow.side_by_side") as started:
        yield started


@pytest.fixture(autouse=True)
def one_thread():
    """As each of two processes has on two cores: the number of threads decides the last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def finished(little_flow, processes, tmp_path_factory):
    """A finished run, what was said meanwhile, and how often an epoch was measured."""
    run, listener, measured = RunFolder(tmp_path_factory.mktemp("side") / "run"), Listener(), []
    records = information_flow(
        little_flow, run=run, progress=listener, processes=processes, on_measured=lambda: measured.append(1)
    )
    return run, listener, records, len(measured)


def test_records_are_those_of_one_process(little_flow, finished, tmp_path):
    alone = RunFolder(tmp_path / "run")
    assert_same_records(finished[2], information_flow(little_flow, run=alone))
    for seed in (0, 1):
        for training in ("normal", "adversarial"):
            assert finished[0].checkpoint_epochs(seed, training) == alone.checkpoint_epochs(seed, training) == [2]


def test_progress_comes_from_all_processes(finished):
    _, listener, _, measured = finished
    assert listener.done == pytest.approx(listener.work)
    assert measured == 12  # three epochs of four trainings
    for name in ("normal, seed 0", "adversarial, seed 0", "normal, seed 1", "adversarial, seed 1"):
        assert sum(line.startswith(f"{name}  epoch") for line in listener.lines) == 3


def test_a_run_that_was_broken_off_continues_to_the_same_records(little_flow, finished, processes, tmp_path):
    class BrokenOffError(Exception):
        pass

    count = [0]

    def break_off():
        count[0] += 1
        if count[0] == 5:
            raise BrokenOffError

    run = RunFolder(tmp_path / "run")
    with (
        pytest.raises(BrokenOffError),
        SideProcesses(2, preload="infoplane.studies.flow.side_by_side") as ended,
    ):
        information_flow(little_flow, run=run, processes=ended, on_measured=break_off)
    assert_same_records(information_flow(little_flow, run=run, processes=processes), finished[2])


def test_a_training_that_diverges_says_so(little_flow, tmp_path):
    wild = changed(little_flow, training={"learning_rate": 1e20})
    with (
        SideProcesses(1, preload="infoplane.studies.flow.side_by_side") as processes,
        pytest.raises(UserError, match="normal training diverged in epoch"),
    ):
        information_flow(wild, run=RunFolder(tmp_path / "run"), processes=processes)


def test_trainings_that_are_complete_are_checked_and_not_handed_out(little_flow, finished):
    run, listener = finished[0], Listener()
    with SideProcesses(0, preload="infoplane.errors") as none:
        assert_same_records(information_flow(little_flow, run=run, progress=listener, processes=none), finished[2])
    names = ("normal, seed 0", "adversarial, seed 0", "normal, seed 1", "adversarial, seed 1")
    assert listener.lines == [f"{name}: complete" for name in names]


def test_without_a_run_there_is_nowhere_to_write(little_flow, processes):
    with pytest.raises(ValueError, match="processes need a run"):
        information_flow(little_flow, processes=processes)


def test_the_network_of_transfer_attacks_is_trained_once(little_flow, processes, tmp_path):
    run, listener = RunFolder(tmp_path / "run"), Listener()
    config = changed(little_flow, attacks=("transfer",), seeds=1, training={"epochs": 1})
    information_flow(config, run=run, progress=listener, processes=processes)
    assert sum("substitute trained normally" in line for line in listener.lines) == 1


def test_after_the_first_seed_the_longest_training_begins_first(little_flow, tmp_path):
    listener, config = Listener(), changed(little_flow, training={"epochs": 1}, seeds=3)
    with SideProcesses(1, preload="infoplane.studies.flow.side_by_side") as one:
        information_flow(config, run=RunFolder(tmp_path / "run"), progress=listener, processes=one)
    ends = [line.split("  ")[0] for line in listener.lines if "epoch 1/1" in line]
    assert ends[:2] == ["normal, seed 0", "adversarial, seed 0"]
    assert ends[2:4] == ["adversarial, seed 1", "adversarial, seed 2"]
    assert ends[4:] == ["normal, seed 1", "normal, seed 2"]
