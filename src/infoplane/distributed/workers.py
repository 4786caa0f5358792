"""Workers: processes of this machine that are the default group of torch.distributed while they work."""

import tempfile
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, NamedTuple, TypeVar

import torch
from torch import distributed

from infoplane.distributed.child_processes import begin_child
from infoplane.distributed.ranks import LONGEST_WAIT
from infoplane.distributed.team import LostProcessError
from infoplane.errors import UserError
from infoplane.text import one_line

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


class Answer(NamedTuple):
    """What one process says at its end.

    Attributes:
        found: what its work returned, on rank 0 only.
        refusal: the message if it refused, by a UserError or ValueError, or if its memory was short.
        lost: it ended because another process had; that one's answer has the reason.
    """

    found: Any = None
    refusal: str | None = None
    lost: bool = False


def as_rank(of: Rank, work: Callable[[], object]) -> Answer:
    """Work as a process of a group."""
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
        return Answer(lost=True)
    except (UserError, ValueError) as error:
        return Answer(refusal=str(error))
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        return Answer(refusal=LOST.format(worker=f"worker {of.rank}", why=f" ({one_line(str(error))[:200]})"))
    finally:
        distributed.destroy_process_group()
    return Answer(found if of.rank == 0 else None)


def check_answers(answers: Iterable[Answer], *, whole: bool) -> None:
    """Raise UserError if a process refused, or if all have answered, as `whole` says, and one was lost."""
    known = list(answers)
    for answer in known:
        if answer.refusal is not None:
            raise UserError(answer.refusal)
    if whole and any(answer.lost for answer in known):
        raise UserError(LOST.format(worker="a worker", why=""))


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
        pipes, processes = list[Connection](), list[SpawnProcess]()
        try:
            for rank in range(workers):
                pipe, sender = context.Pipe(duplex=False)
                of = Rank(f"file://{folder}/ranks", rank, workers, rank if gpus else None)
                process = context.Process(target=_child, args=(sender, of, threads, work), daemon=True)
                process.start()
                processes.append(process)
                sender.close()  # so that the pipe ends when the process does
                pipes.append(pipe)
            answers: dict[int, Answer] = {}
            while len(answers) < workers:
                ready = wait([pipe for rank, pipe in enumerate(pipes) if rank not in answers])
                for rank in [rank for rank, pipe in enumerate(pipes) if pipe in ready]:
                    answers[rank] = _received(pipes[rank], rank)
                check_answers(answers.values(), whole=len(answers) == workers)
        finally:
            for process in processes:
                process.kill()
                process.join()
    result: Found = answers[0].found
    return result


def _received(pipe: Connection, rank: int) -> Answer:
    try:
        received: Answer = pipe.recv()
    except EOFError:
        raise UserError(LOST.format(worker=f"worker {rank}", why="")) from None
    return received


def _child(sender: Connection, of: Rank, threads: int, work: Callable[[], object]) -> None:
    begin_child()
    torch.set_num_threads(threads)
    sender.send(as_rank(of, work))
