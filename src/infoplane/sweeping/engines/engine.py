"""What the engines have in common: their settings, and how each is named and built."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from infoplane.sweeping.execution import Job, Outcome


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """Options of all engines. What an engine does not take keeps its default.

    Attributes:
        jobs: runs at the same time; None: as many as there are cores, or as the cluster has room for.
        address: of a Ray cluster; None starts one on this machine.
        gpus_per_run: GPUs that a cluster reserves for a run.
        slurm: options of sbatch as typed, e.g. `partition=long`.
    """

    jobs: int | None = None
    address: str | None = None
    gpus_per_run: float = 0.0
    slurm: tuple[str, ...] = ()


class Engine(Protocol):
    """Executes the runs of a sweep."""

    def run(self, jobs: Sequence[Job], report: Callable[[Outcome], None]) -> None:
        """Execute all jobs and report each outcome as soon as it is known.

        A job that fails does not stop the others. On KeyboardInterrupt all work ends, or goes on without this process
        if the engine says so.

        Args:
            jobs: of different run folders.
            report: takes each outcome.
        """
        ...


class EngineSpec(NamedTuple):
    """An engine by name.

    Attributes:
        name: as typed after `--engine`.
        summary: for the help.
        build: makes the engine. It imports what it needs, and raises UserError if that is not installed or if the
            settings do not fit.
        takes: names of the settings that it takes besides `jobs`.
    """

    name: str
    summary: str
    build: Callable[[EngineSettings], Engine]
    takes: frozenset[str] = frozenset()
