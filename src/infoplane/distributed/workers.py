"""Workers: processes of this machine that are the default group of torch.distributed while they work."""

import tempfile
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, TypeVar

import torch
from torch import distributed

from infoplane.distributed.child_processes import begin_child
from infoplane.distributed.ranks import LONGEST_WAIT
from infoplane.distributed.team import LostProcessError
from infoplane.errors import UserError

Found = TypeVar("Found")
LOST = (
    "{worker} has ended before it was done{why}; nothing is kept: give the command again, with less --memory or fewer "
    "--workers if memory was short"
)


class Rank(NamedTuple):
    """One process of a group.

    Attributes:
        place: where the processes meet, as `init_method` of torch.distributed.
        rank: from 0.
        size: number of processes.
        gpu: number of its GPU among those that it sees; None: it computes on the CPU.
    """

    place: str
    rank: int
    size: int
    gpu: int | None


def as_rank(of: Rank, work: Callable[[], Found]) -> tuple[Found | None, str | None]:
    """Work as a process of a group.

    Returns:
        What `work` returned, on rank 0 only; and the message if it refused, by a UserError or ValueError.
    """
    if of.gpu is not None:
        torch.cuda.set_device(of.gpu)
    distributed.init_process_group(
        "gloo" if of.gpu is None else "nccl",
        init_method=of.place,
        rank=of.rank,
        world_size=of.size,
        timeout=LONGEST_WAIT,
    )
    try:
        found = work()
    except LostProcessError:
        return None, LOST.format(worker="another worker", why="")
    except (UserError, ValueError) as error:
        return None, str(error)
    finally:
        distributed.destroy_process_group()
    return (found if of.rank == 0 else None), None


def check_gpus(workers: int) -> None:
    """Raise UserError unless this machine has a GPU for each worker."""
    if (found := torch.cuda.device_count()) < workers:
        raise UserError(f"--device cuda --workers {workers}: torch finds {found} GPUs here; or use --device cpu")


def on_local_workers(work: Callable[[], Found], workers: int, *, gpus: bool) -> Found:
    """Call `work` on processes of this machine, which are the default group of torch.distributed there.

    Args:
        work: can be sent to the processes; called once on each. What rank 0 returns is the result.
        workers: number of processes. They share the threads of this process evenly.
        gpus: whether each process has a GPU.

    Raises:
        UserError: there are fewer GPUs than workers; `work` refused; or a process ended before it was done.
    """
    if gpus:
        check_gpus(workers)
    context, threads = get_context("spawn"), max(1, torch.get_num_threads() // workers)
    with tempfile.TemporaryDirectory(prefix="infoplane-") as folder:
        answers, processes = [], []
        for rank in range(workers):
            answer, sender = context.Pipe(duplex=False)
            of = Rank(f"file://{folder}/ranks", rank, workers, rank if gpus else None)
            processes.append(context.Process(target=_child, args=(sender, of, threads, work), daemon=True))
            processes[-1].start()
            sender.close()  # so that the answer ends when the process does
            answers.append(answer)
        try:
            found: dict[int, Any] = {}
            while len(found) < workers:
                ready = wait([one for rank, one in enumerate(answers) if rank not in found])
                for rank in [rank for rank, one in enumerate(answers) if one in ready]:
                    found[rank], refusal = _received(answers[rank], rank)
                    if refusal is not None:
                        raise UserError(refusal)
        finally:
            for process in processes:
                process.kill()
                process.join()
    result: Found = found[0]
    return result


def _received(answer: Connection, rank: int) -> tuple[Any, str | None]:
    try:
        received: tuple[Any, str | None] = answer.recv()
    except EOFError:
        raise UserError(LOST.format(worker=f"worker {rank}", why="")) from None
    return received


def _child(sender: Connection, of: Rank, threads: int, work: Callable[[], object]) -> None:
    begin_child()
    torch.set_num_threads(threads)
    sender.send(as_rank(of, work))
