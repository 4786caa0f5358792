"""Running a function on several processes that are a team."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed.nn  # it keeps the group that exists when it is imported: then there must be none yet
from torch import distributed, multiprocessing

from infoplane.distributed.team import RankedTeam


def on_processes(work: Callable[..., Any], processes: int, folder: Path, *arguments: Any) -> list[Any]:
    """Return what `work(team, *arguments)` returned on each process, in the order of ranks."""
    threads = torch.get_num_threads()  # which decide the last bits
    multiprocessing.spawn(_one, args=(threads, work, processes, folder, arguments), nprocs=processes)
    return [pickle.loads((folder / f"rank{rank}").read_bytes()) for rank in range(processes)]


def _one(
    rank: int,
    threads: int,
    work: Callable[..., Any],
    processes: int,
    folder: Path,
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(threads)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=processes)
    try:
        (folder / f"rank{rank}").write_bytes(pickle.dumps(work(RankedTeam(), *arguments)))
    finally:
        distributed.destroy_process_group()
