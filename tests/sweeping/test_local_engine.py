"""The engine `local`, and the process of one run: kills, Ctrl-C, and processes that meet in one folder."""

import signal

import pytest
from tests.sweeping.small_sweeps import (
    LONG,
    epochs_measured,
    kill_process_of,
    quick_epochs,
    quick_jobs,
    small_options,
    started,
    wait_for,
)

from infoplane.sweeping import execution
from infoplane.sweeping.engines import local
from infoplane.sweeping.engines.local import LocalEngine
from infoplane.sweeping.execution import Outcome, PointRun, execute
from infoplane.sweeping.folder import SweepFolder
from infoplane.sweeping.state import HEARTBEAT, is_alive

NAME = "quick-s0"
TYPED = "digits-lenet5-s0"


@pytest.mark.parametrize(("processes", "begun", "hidden"), [(2, False, True), (1, False, False), (2, True, False)])
def test_several_new_runs_at_once_share_no_gpu(processes, begun, hidden, tmp_path, monkeypatch):
    (job,) = quick_jobs(tmp_path)
    started = []

    class Done:
        def __init__(self, job):
            started.append(job)

        def poll(self):
            return Outcome(NAME, "done")

    monkeypatch.setattr(local, "PointRun", Done)
    if begun:
        run = SweepFolder(tmp_path).run_path(NAME)
        run.mkdir(parents=True)
        (run / "config.json").touch()
    LocalEngine(processes).run([job], lambda outcome: None)
    assert (started[0].environment.get("CUDA_VISIBLE_DEVICES") == "") == hidden


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])  # one that it cannot hear, and one that it can
def test_a_killed_process_is_started_again_and_loses_nothing(number, tmp_path):
    (job,) = quick_jobs(tmp_path / "whole", epochs=4)
    assert execute(job).status == "done"
    (job,) = quick_jobs(tmp_path / "killed", epochs=4)
    killed = []

    def kill_once():
        if not killed and epochs_measured(job.sweep, NAME) >= 2:
            killed.append(kill_process_of(job.sweep, NAME, number))

    assert execute(job, between=kill_once) == Outcome(NAME, "done")
    assert killed
    state = SweepFolder(job.sweep).state(NAME)
    assert (state.status, state.attempts) == ("done", 2)
    assert "epoch 1 is here" in SweepFolder(job.sweep).log_path(NAME).read_text()
    assert quick_epochs(tmp_path / "killed") == quick_epochs(tmp_path / "whole")


def test_a_run_whose_process_always_dies_fails_after_some_attempts(tmp_path, monkeypatch):
    (job,) = quick_jobs(tmp_path)
    died = tmp_path / "dies.py"
    died.write_text("import os, signal; print('so far'); os.kill(os.getpid(), signal.SIGKILL)")
    done = execute(execution.Job(**{**vars(job), "program": str(died)}))
    assert done.status == "failed"
    assert "SIGKILL" in done.line
    assert SweepFolder(tmp_path).state(NAME).attempts == 1 + execution.RETRIES


def test_a_run_in_use_is_left_to_its_process(tmp_path, monkeypatch):
    monkeypatch.setattr(execution, "WAIT", 1.0)
    first, second = quick_jobs(tmp_path, epochs=LONG), quick_jobs(tmp_path, epochs=LONG)
    one = PointRun(first[0])
    try:
        wait_for(lambda: one.poll() is None and epochs_measured(tmp_path, NAME) > 0)
        assert execute(second[0]) == Outcome(NAME, "elsewhere")
        assert SweepFolder(tmp_path).state(NAME).status == "running"
    finally:
        one.stop()
    assert SweepFolder(tmp_path).state(NAME).status == "stopped"


def test_a_running_process_is_seen_again_and_again(tmp_path):
    (job,) = quick_jobs(tmp_path, epochs=LONG)
    folder, run = SweepFolder(tmp_path), PointRun(job)
    try:
        run.poll()
        state = folder.state(NAME)
        assert (state.status, state.pid > 0) == ("running", True)
        run._state = state.model_copy(update={"seen": state.seen - HEARTBEAT})
        run.poll()
        assert folder.state(NAME).seen > state.seen - 1
        assert not folder.state(NAME).is_lost()
        for host in ("elsewhere", state.host):  # here another process may have the number after a restart
            assert state.model_copy(update={"host": host, "seen": state.seen - 7 * HEARTBEAT}).is_lost()
    finally:
        run.stop()
    assert state.is_lost()  # as it would read if nobody had written that it stopped


def test_an_error_of_the_sweep_stops_all_processes(tmp_path):
    (short,), (long,) = quick_jobs(tmp_path / "short"), quick_jobs(tmp_path / "long", epochs=LONG)
    pids = []

    def fail(outcome):
        pids.append(SweepFolder(tmp_path / "long").state(NAME).pid)
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        LocalEngine(2).run([long, short], fail)
    assert not any(map(is_alive, pids))
    assert SweepFolder(tmp_path / "long").state(NAME).status == "stopped"
    assert SweepFolder(tmp_path / "short").is_done(NAME)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_all_processes_and_the_sweep_continues(number, tmp_path):
    options = [tmp_path, *small_options(epochs=LONG), "--methods", "normal", "--seeds", "2", "--jobs", "2"]
    process, names = started(*options), ["digits-lenet5-s0", "digits-lenet5-s1"]
    wait_for(lambda: all(epochs_measured(tmp_path, name) for name in names), process)
    pids = [SweepFolder(tmp_path).state(name).pid for name in names]
    assert all(map(is_alive, pids))
    process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 128 + number, complaint
    assert "runs that are done are kept" in complaint
    assert not any(map(is_alive, pids))
    assert {SweepFolder(tmp_path).state(name).status for name in names} == {"stopped"}


def test_a_killed_sweep_takes_its_processes_with_it_and_continues(tmp_path):
    options = [tmp_path, *small_options(epochs=30), "--methods", "normal", "--jobs", "1"]
    process = started(*options)
    wait_for(lambda: epochs_measured(tmp_path, TYPED) >= 2, process)
    pid = SweepFolder(tmp_path).state(TYPED).pid
    process.kill()
    process.communicate()
    wait_for(lambda: not is_alive(pid), seconds=20)
    assert epochs_measured(tmp_path, TYPED) < 31  # it did not just come to its end
    assert SweepFolder(tmp_path).state(TYPED).is_lost()
    again = started(*options)
    out, complaint = again.communicate(timeout=200)
    assert (again.returncode, complaint) == (0, "")
    assert "1 of 1 run done" in out
    assert "epoch 1 is here" in SweepFolder(tmp_path).log_path(TYPED).read_text()
