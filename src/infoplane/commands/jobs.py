"""Option `--jobs`: processes that carry out the trainings of a run side by side."""

import os
from typing import TYPE_CHECKING, Literal

from infoplane.distributed.side_processes import SideProcesses
from infoplane.errors import UserError

if TYPE_CHECKING:
    from infoplane.distributed.team import Team


def check_jobs(device: Literal["auto", "cpu", "cuda"], devices: int, nodes: int) -> None:
    """Refuse what does not go together with several jobs.

    Raises:
        UserError: a GPU is asked for, or processes that share one training.
    """
    if devices * nodes > 1:
        raise UserError("--jobs carries out whole trainings side by side, --devices and --nodes share one: choose one")
    if device == "cuda":
        raise UserError("--jobs is for the CPU: leave out --device cuda, or use --devices, or infoplane sweep")


def processes_for(jobs: int) -> SideProcesses:
    """Start the processes. They import what they need while this process still imports torch."""
    return SideProcesses(jobs, preload="infoplane.studies.flow.side_by_side", later="infoplane.report.figure_files")


def alone() -> "Team":
    """Return the team of one process. Torch is imported here, after the processes were started."""
    from infoplane.distributed.team import ALONE

    return ALONE


def notes_on_jobs(threads: int, processes: SideProcesses | None, device: str) -> list[str]:
    """Say what trainings side by side leave unused, or use more of than there is.

    Args:
        threads: of one training, as the run keeps them.
        processes: that carry out trainings, or None.
        device: as typed.
    """
    if processes is None:
        return []
    import torch

    found, cores = [], os.cpu_count() or 1
    if device == "auto" and torch.cuda.is_available():
        found.append("with --jobs this run uses the CPU, without it the GPU")
    if threads > 1 and len(processes) * threads > cores:
        found.append(
            f"the run began with {threads} threads for a training, so {len(processes)} trainings at a time use more "
            f"than the {cores} cores here, which is slow; leave out --jobs"
        )
    return found
