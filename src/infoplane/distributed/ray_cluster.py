"""Ray clusters: connect to one, or start one on this machine; and processes of it that are a team."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from infoplane.distributed.workers import LOST, Rank, as_rank
from infoplane.errors import UserError
from infoplane.text import one_line

Found = TypeVar("Found")


def check_ray(address: str | None) -> None:
    """Raise UserError unless Ray is installed, and the address is none of a client outside the cluster."""
    if (address or "").startswith("ray://"):
        raise UserError("--address ray://... is a connection from outside; give the command on a node of the cluster")
    try:
        import ray  # noqa: F401
    except ImportError:
        raise UserError("--engine ray needs the extra: pip install 'infoplane[ray]'") from None


@contextmanager
def ray_connected(address: str | None, cores: int | None) -> Iterator[None]:
    """Be connected to Ray inside the block: as before it, or else to a cluster, or to one of this machine alone.

    Args:
        address: of the cluster; None starts Ray on this machine.
        cores: how many cores Ray may count on this machine; None: all.

    Raises:
        UserError: Ray does not answer.
    """
    import ray

    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray itself will do in future
        alone = {} if address else {"num_cpus": cores, "include_dashboard": False}
        try:
            ray.init(address=address or "local", logging_level=logging.ERROR, log_to_driver=False, **alone)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(
                f"--address {address or 'local'}: Ray does not answer ({one_line(str(error))[:200]}); start it with "
                "ray start --head, or leave --address out"
            ) from None
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


class _Worker:
    """Actor that is one rank of a group of torch.distributed."""

    def place(self) -> str:
        """Return an address at which the ranks can meet here."""
        import ray

        with socket.socket() as free:
            free.bind(("", 0))
            return f"tcp://{ray.util.get_node_ip_address()}:{free.getsockname()[1]}"

    def run(self, of: Rank, work: Callable[[], Found]) -> tuple[Found | None, str | None]:
        """Work as this rank."""
        return as_rank(of, work)


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
        actor: Any = ray.remote(num_cpus=1, num_gpus=int(gpus), max_restarts=0)(_Worker)
        ranks = [actor.remote() for _ in range(workers)]
        try:
            place = ray.get(ranks[0].place.remote())
            gpu = 0 if gpus else None  # Ray shows each actor its own GPU alone
            running = [one.run.remote(Rank(place, rank, workers, gpu), work) for rank, one in enumerate(ranks)]
            left, result = list(running), None
            while left:
                done, left = ray.wait(left)
                found, refusal = ray.get(done[0])
                if refusal is not None:
                    raise UserError(refusal)
                result = found if done[0] == running[0] else result
        except ray.exceptions.RayActorError as error:
            why = f" ({one_line(str(error))[:200]})"
            raise UserError(LOST.format(worker="a worker on Ray", why=why)) from None
        finally:
            for one in ranks:
                ray.kill(one)
    return cast("Found", result)
