"""The engine `slurm` with submitit's executor of processes on this machine; there is no Slurm here."""

import os
import re
import signal
from pathlib import Path

import pytest
from tests.sweeping.small_sweeps import all_records, epochs_measured, quick_epochs, quick_jobs, reference, small_jobs

from infoplane.errors import UserError
from infoplane.sweeping.engines.engine import EngineSettings
from infoplane.sweeping.engines.local import LocalEngine
from infoplane.sweeping.engines.slurm import SLURM, SlurmEngine, _reason, slurm_options
from infoplane.sweeping.folder import SweepFolder

submitit = pytest.importorskip("submitit", reason="the extra slurm is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # submitit's own


def run_all(jobs, **settings):
    outcomes = []
    SlurmEngine(EngineSettings(**settings), cluster="local").run(jobs, outcomes.append)
    return {outcome.name: outcome.status for outcome in outcomes}


def test_a_preempted_job_is_requeued_and_continues(tmp_path, monkeypatch):
    jobs, folder = quick_jobs(tmp_path / "sweep", epochs=20, seeds=2), SweepFolder(tmp_path / "sweep")
    local_job = submitit.LocalJob
    preempted, done = [], local_job.done

    def done_or_preempted(job, force_check=False):
        """Preempt the first job once: its task gets the signal that Slurm would send."""
        if not preempted and epochs_measured(folder.path, "quick-s0") >= 3:
            stat = Path(f"/proc/{folder.state('quick-s0').pid}/stat").read_text()
            preempted.append(int(stat.rpartition(")")[2].split()[1]))  # the parent of the run's process
            os.kill(preempted[0], signal.SIGUSR2)
        return done(job, force_check)

    monkeypatch.setattr(local_job, "done", done_or_preempted)
    assert run_all(jobs) == {"quick-s0": "done", "quick-s1": "done"}
    assert preempted
    assert "epoch 1 is here" in folder.log_path("quick-s0").read_text()
    assert "is here" not in folder.log_path("quick-s1").read_text()
    jobs = quick_jobs(tmp_path / "unbroken", epochs=20, seeds=2, seconds=0)
    LocalEngine(2).run(jobs, lambda outcome: None)
    assert quick_epochs(folder.path) == quick_epochs(tmp_path / "unbroken")


def test_a_failing_run_is_reported_and_stops_no_other(tmp_path):
    (fails,), (works,) = quick_jobs(tmp_path / "fails"), quick_jobs(tmp_path / "works")
    outcomes = []
    SlurmEngine(EngineSettings(), cluster="local").run([fails, works], outcomes.append)
    assert [outcome.status for outcome in sorted(outcomes, key=lambda one: one.status)] == ["done", "failed"]
    log = SweepFolder(tmp_path / "works").log_path("quick-s0").read_text()
    assert log.startswith("GPUs: ''\n")  # nobody reserved one
    assert "infoplane: refused on purpose" in [outcome.line for outcome in outcomes]


def test_a_real_run_has_the_same_records_as_without_submitit(tmp_path):
    (job,) = small_jobs(tmp_path / "slurm")
    assert run_all([job]) == {job.name: "done"}
    reference(tmp_path / "alone")
    assert all_records(tmp_path / "slurm") == all_records(tmp_path / "alone")


def test_options_of_sbatch_are_taken_and_mistakes_are_one_line(tmp_path):
    assert slurm_options(["partition=long", "cpus-per-task=2"]) == {"partition": "long", "cpus_per_task": 2}
    with pytest.raises(UserError, match="OPTION=VALUE"):
        slurm_options(["partition"])
    jobs = quick_jobs(tmp_path)
    with pytest.raises(UserError, match=re.escape("--slurm time must be a whole number, got 'x'")):
        run_all(jobs, slurm=("time=x",))
    with pytest.raises(UserError, match=r"--slurm: .*nonsense"):
        run_all(jobs, slurm=("nonsense=1",))
    for option in ("setup=module load", "use_srun=false"):
        with pytest.raises(UserError, match="options of sbatch with one value"):
            run_all(jobs, slurm=(option,))
    assert slurm_options(["ntasks_per_node=1"]) == {"ntasks_per_node": 1}
    with pytest.raises(UserError, match="--gpus-per-run must be a whole number"):
        SLURM.build(EngineSettings(gpus_per_run=0.5))


def test_a_machine_without_slurm_and_a_partition_that_does_not_exist_are_one_line(tmp_path, monkeypatch):
    jobs = quick_jobs(tmp_path / "sweep")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"--engine slurm: .*srun.*; give the command where sbatch works"):
        SlurmEngine(EngineSettings()).run(jobs, print)
    for name, says in (("srun", "exit 0"), ("sbatch", "echo invalid partition >&2; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{says}\n")
        (tmp_path / name).chmod(0o755)
    with pytest.raises(UserError, match=r"--engine slurm: .*invalid partition"):
        SlurmEngine(EngineSettings()).run(jobs, print)


def test_a_lost_job_is_a_failed_run_that_says_why(tmp_path):
    (job,) = quick_jobs(tmp_path, epochs=20)
    outcomes, folder, lost = [], SweepFolder(tmp_path), []

    def lose(self, force_check=False):
        """The job is killed with its task, which says nothing of it."""
        state = folder.state(job.name)
        if not lost and state.status == "running" and epochs_measured(tmp_path, job.name) >= 1:
            stat = Path(f"/proc/{state.pid}/stat").read_text()
            lost.append(int(stat.rpartition(")")[2].split()[1]))  # the parent of the run's process
            os.kill(lost[0], signal.SIGKILL)
        return bool(lost)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(submitit.LocalJob, "done", lose)
        patched.setattr(submitit.LocalJob, "_results_timeout_s", 1)  # not 15, for a file that never comes
        SlurmEngine(EngineSettings(), cluster="local").run([job], outcomes.append)
    assert [outcome.status for outcome in outcomes] == ["failed"]
    state = folder.state(job.name)
    assert (state.status, state.error) == ("failed", outcomes[0].line)
    assert state.error.startswith("job ")


def test_the_reason_of_a_job_that_raised_is_that_of_its_trace(tmp_path):
    error = submitit.LocalExecutor(folder=tmp_path).submit(int, "x").exception()
    assert _reason(str(error)) == "ValueError: invalid literal for int() with base 10: 'x'"


def test_a_missing_extra_is_one_line(monkeypatch, tmp_path, capsys):
    from infoplane.commands.cli import main

    monkeypatch.setitem(__import__("sys").modules, "submitit", None)
    assert main(["sweep", str(tmp_path / "sweep"), "--recipes", "digits-lenet5", "--engine", "slurm"]) == 2
    assert capsys.readouterr().err == "infoplane: --engine slurm needs the extra: pip install 'infoplane[slurm]'\n"
