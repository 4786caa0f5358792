"""Engine `slurm`: an array of jobs through submitit, requeued when they are preempted or run out of time."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infoplane.errors import UserError
from infoplane.sweeping.engines.engine import EngineSettings, EngineSpec
from infoplane.sweeping.execution import POLL, Job, Outcome, PointRun, without_gpus, write_failed, write_stopped
from infoplane.text import one_line

_WHOLE = {
    *("time", "nodes", "ntasks_per_node", "cpus_per_task", "cpus_per_gpu", "gpus_per_node", "gpus_per_task"),
    *("array_parallelism", "signal_delay_s"),
}  # options that are numbers
# What a line OPTION=VALUE cannot say: lists, switches, and what the engine sets itself.
_OURS = {"setup", "teardown", "srun_args", "stderr_to_stdout", "use_srun", "additional_parameters", "map_count"}
_DASHES = "-" * 22  # around the trace of an error in submitit's message
_POLL = 5.0  # seconds between two looks at the jobs


class _Task:
    """What one job of the array does. submitit calls `checkpoint` before a job is preempted or runs out of time."""

    def __init__(self) -> None:
        self._run: PointRun | None = None

    def __call__(self, job: Job) -> Outcome:
        self._run = PointRun(job)
        try:
            while (outcome := self._run.poll()) is None:
                time.sleep(POLL)
        except BaseException:
            self._run.stop()
            raise
        return outcome

    def checkpoint(self, job: Job) -> Any:
        from submitit.helpers import DelayedSubmission

        if self._run is not None:
            self._run.stop()
        return DelayedSubmission(_Task(), job)


class SlurmEngine:
    """Submits one array with a job for each run, and waits for it.

    Args:
        settings: of all engines.
        cluster: "slurm", or "local" for submitit's processes on this machine.
    """

    def __init__(self, settings: EngineSettings, cluster: str = "slurm") -> None:
        self._settings, self._cluster = settings, cluster

    def run(self, jobs: Sequence[Job], report: Callable[[Outcome], None]) -> None:
        """Submit all jobs and wait for them; on KeyboardInterrupt, cancel them."""
        import submitit
        from submitit.core.utils import UncompletedJobError

        own = {f"slurm_{name}": value for name, value in slurm_options(self._settings.slurm).items()}
        if self._settings.jobs is not None:
            own["slurm_array_parallelism"] = self._settings.jobs
        if not self._settings.gpus_per_run:
            jobs = [without_gpus(job) for job in jobs]
        gpus = {"gpus_per_node": int(self._settings.gpus_per_run)} if self._settings.gpus_per_run else {}
        try:
            executor = submitit.AutoExecutor(folder=jobs[0].sweep / "slurm", cluster=self._cluster)
            executor.update_parameters(name="infoplane", timeout_min=60, cpus_per_task=1, **gpus, **own)
            submitted = dict(zip(executor.map_array(_Task(), jobs), jobs, strict=True))
        except (NameError, AssertionError) as error:
            raise UserError(f"--slurm: {one_line(str(error))[:300]}") from None
        except (RuntimeError, UncompletedJobError) as error:  # no Slurm here, or sbatch refused the jobs
            raise UserError(
                f"--engine slurm: {one_line(str(error))[:300]}; give the command where sbatch works, with options that "
                "it takes (--slurm)"
            ) from None
        waiting = dict(submitted)
        try:
            while waiting:
                for one in [one for one in waiting if one.done()]:
                    report(_outcome(one, waiting.pop(one)))
                if waiting:
                    time.sleep(_POLL if self._cluster == "slurm" else POLL)
        finally:
            for one in waiting:
                one.cancel(check=False)  # one that cannot be cancelled must not keep the others
            write_stopped(waiting.values())


def _value(name: str, text: str) -> int | str:
    try:
        return int(text) if name in _WHOLE else text
    except ValueError:
        raise UserError(f"--slurm {name} must be a whole number, got {text!r}") from None


def _outcome(submitted: Any, job: Job) -> Outcome:
    from submitit.core.utils import FailedJobError, UncompletedJobError

    try:
        found: Outcome = submitted.result()
    except (FailedJobError, UncompletedJobError) as error:
        return write_failed(job, one_line(f"job {submitted.job_id}: {_reason(str(error))}"))
    return found


def _reason(text: str) -> str:
    """Return the last line of what submitit says of a lost job: of the trace between dashes, if there is one."""
    _, _, trace = text.partition(_DASHES)
    lines = [line.strip() for line in (trace.partition(_DASHES)[0] or text).splitlines()]
    return next((line for line in reversed(lines) if line.strip("- ")), "it was lost")


def _build(settings: EngineSettings) -> SlurmEngine:
    if settings.gpus_per_run != int(settings.gpus_per_run):
        raise UserError(f"--gpus-per-run must be a whole number with Slurm, got {settings.gpus_per_run:g}")
    try:
        import submitit  # noqa: F401
    except ImportError:
        raise UserError("--engine slurm needs the extra: pip install 'infoplane[slurm]'") from None
    slurm_options(settings.slurm)
    return SlurmEngine(settings)


def slurm_options(typed: Sequence[str]) -> Mapping[str, int | str]:
    """Return the options of sbatch by name.

    Args:
        typed: e.g. `partition=long`.

    Raises:
        UserError: a name or a value is missing, or a number is none.
    """
    found = {}
    for one in typed:
        name, _, value = one.partition("=")
        if not name or not value:
            raise UserError(f"--slurm takes OPTION=VALUE, e.g. partition=long, got {one!r}")
        name = name.replace("-", "_")
        if name in _OURS:
            raise UserError(f"--slurm takes options of sbatch with one value, and {name} is none of them; leave it out")
        found[name] = _value(name, value)
    return found


_TAKES = frozenset({"gpus_per_run", "slurm"})
SLURM = EngineSpec("slurm", "an array of Slurm jobs, which are requeued when they are preempted", _build, _TAKES)
