"""Ray clusters: connect to one, or start one on this machine."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from infoplane.errors import UserError
from infoplane.text import one_line


def check_ray(address: str | None) -> None:
    """Raise UserError unless Ray is installed, and the address is none of a client outside the cluster."""
    if (address or "").startswith("ray://"):
        raise UserError("--address ray://... is a connection from outside; give the command on a node of the cluster")
    try:
        import ray  # noqa: F401
    except ImportError:
        raise UserError("--engine ray needs the extra: pip install 'infoplane[ray]'") from None


def check_reserved(gpus: float) -> None:
    """Raise UserError if no machine of the cluster has a core and so many GPUs: Ray would wait without a word.

    Args:
        gpus: for one task, as Ray counts them.
    """
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= 1 and node.get("GPU", 0) >= gpus for node in nodes):
        counted = sum(node.get("GPU", 0) for node in nodes)
        raise UserError(
            f"--gpus-per-run {gpus:g}: Ray counts {counted:g} GPUs on {len(nodes)} machines, and none has a core and "
            "so many; ask for fewer, or add machines first"
        )


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
