"""Workers on Ray, which places them: processes that are the default group of torch.distributed while they work."""

import socket
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

from infoplane.distributed.ray_cluster import check_ray, ray_connected
from infoplane.distributed.workers import LOST, Answer, Rank, as_rank, check_answers
from infoplane.errors import UserError
from infoplane.text import counted, one_line

Found = TypeVar("Found")
_PATIENCE = 10.0  # seconds of waiting without a word


class _Worker:
    """Actor that is one rank of a group of torch.distributed."""

    def place(self) -> str:
        """Return an address at which the ranks can meet here."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return f"tcp://{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"

    def run(self, of: Rank, work: Callable[[], object]) -> Answer:
        """Work as this rank."""
        return as_rank(of, work)


def _reserved(workers: int, *, gpus: bool) -> Any:
    """Wait until Ray has room for all workers at once: some that wait for the others would keep these from starting."""
    import ray

    group = ray.util.placement_group([{"CPU": 1, "GPU": 1} if gpus else {"CPU": 1} for _ in range(workers)])
    if not group.wait(_PATIENCE):
        print(f"waiting until Ray has room for {counted(workers, 'worker')}; Ctrl-C ends this", file=sys.stderr)
        while not group.wait(_PATIENCE):
            pass
    return group


def on_ray_workers(work: Callable[[], Found], workers: int, *, address: str | None, gpus: bool) -> Found:
    """Call `work` on processes that Ray places, and which are the default group of torch.distributed there.

    Args:
        work: can be sent to the processes; called once on each. What rank 0 returns is the result.
        workers: number of processes, each on one core, or on one core and one GPU.
        address: of a running cluster; None starts Ray on this machine.
        gpus: whether each process has a GPU.

    Raises:
        UserError: Ray is not installed, does not answer, or has too few cores or GPUs; `work` refused; or a process
            ended before it was done.
    """
    check_ray(address)
    import ray

    with ray_connected(address, workers):
        for kind, needed in (("CPU", workers), ("GPU", workers * gpus)):
            if (has := int(ray.cluster_resources().get(kind, 0))) < needed:
                raise UserError(f"--workers {workers}: Ray counts {has} {kind}s; take so many workers, or add machines")
        group = _reserved(workers, gpus=gpus)
        where = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group)
        actor: Any = ray.remote(num_cpus=1, num_gpus=int(gpus), max_restarts=0, scheduling_strategy=where)(_Worker)
        ranks = [actor.remote() for _ in range(workers)]
        try:
            place = ray.get(ranks[0].place.remote())
            gpu = 0 if gpus else None  # Ray shows each actor its own GPU alone
            running = [one.run.remote(Rank(place, rank, workers, gpu), work) for rank, one in enumerate(ranks)]
            left, answers = list(running), list[Answer]()
            while left:
                done, left = ray.wait(left)
                answers.append(ray.get(done[0]))
                check_answers(answers, whole=not left)
            result = ray.get(running[0]).found
        except ray.exceptions.RayError as error:  # an actor or node that died, or was short of memory
            why = f" ({one_line(str(error))[:200]})"
            raise UserError(LOST.format(worker="a worker on Ray", why=why)) from None
        finally:
            for one in ranks:
                ray.kill(one)
            ray.util.remove_placement_group(group)
    return cast("Found", result)
