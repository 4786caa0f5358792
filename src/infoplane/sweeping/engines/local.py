"""Engine `local`: child processes on this machine, one thread each."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from infoplane.sweeping.engines.engine import EngineSettings, EngineSpec
from infoplane.sweeping.execution import POLL, Job, Outcome, PointRun
from infoplane.sweeping.folder import SweepFolder


class LocalEngine:
    """Executes as many runs at once as `processes` says.

    Args:
        processes: at least one.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def run(self, jobs: Sequence[Job], report: Callable[[Outcome], None]) -> None:
        """Execute all jobs; on KeyboardInterrupt, stop all child processes."""
        waiting = list(reversed(jobs))
        running: list[PointRun] = []
        try:
            while waiting or running:
                while waiting and len(running) < self._processes:
                    running.append(PointRun(self._without_gpu(waiting.pop())))
                for one in list(running):
                    if (outcome := one.poll()) is not None:
                        running.remove(one)
                        report(outcome)
                time.sleep(POLL)
        finally:
            for one in running:
                one.ask_to_stop()  # all at once, so that the waits below overlap
            for one in running:
                one.stop()

    def _without_gpu(self, job: Job) -> Job:
        """Hide GPUs from one of several new runs: as many as there are cores are too many for one."""
        begun = (SweepFolder(job.sweep).run_path(job.name) / "config.json").exists()
        if self._processes == 1 or begun:  # a run continues on its device
            return job
        return replace(job, environment={**job.environment, "CUDA_VISIBLE_DEVICES": ""})


def _build(settings: EngineSettings) -> LocalEngine:
    return LocalEngine(settings.jobs or _cores())


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


LOCAL = EngineSpec("local", "processes on this machine, one thread each", _build)
