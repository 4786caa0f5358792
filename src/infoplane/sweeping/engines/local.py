"""Engine `local`: child processes on this machine, one thread each."""

import os
import time
from collections.abc import Callable, Sequence

from infoplane.sweeping.engines.engine import EngineSettings, EngineSpec
from infoplane.sweeping.execution import POLL, Job, Outcome, PointRun, without_gpus


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
                    job = waiting.pop()
                    running.append(PointRun(job if self._processes == 1 else without_gpus(job)))
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


def _build(settings: EngineSettings) -> LocalEngine:
    return LocalEngine(settings.jobs or _cores())


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


LOCAL = EngineSpec("local", "processes on this machine, one thread each", _build)
