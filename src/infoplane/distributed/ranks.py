"""Start one process per device, through lightning-fabric, or use those that torchrun has started."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Literal

import torch
from torch import distributed

from infoplane.distributed.team import ALONE, LostProcessError, RankedTeam, Team
from infoplane.errors import UserError


def started_outside() -> tuple[int, int] | None:
    """Return (processes on this node, nodes) where a launcher such as torchrun has started several; else None."""
    if "TORCHELASTIC_RUN_ID" not in os.environ or os.environ["WORLD_SIZE"] == "1":
        return None
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    return here, int(os.environ["WORLD_SIZE"]) // here


# Rank 0 draws figures while the others wait. This limit does not delay the notice that a process has ended.
LONGEST_WAIT = timedelta(days=1)


@contextmanager
def ranks_started(devices: int, nodes: int, device: Literal["auto", "cpu", "cuda"]) -> Iterator[Team]:
    """Run the current command in one process per device. Inside the block the processes form a team.

    With one device there is only this process, and lightning-fabric is not imported. When rank 0 leaves the block, the
    other ranks receive None.

    Args:
        devices: per node; 1 uses the processes that torchrun has started, if any.
        nodes: with several, the user gives the command on each, with MASTER_ADDR and NODE_RANK set.
        device: what each process computes on.

    Raises:
        UserError: there are fewer GPUs than devices, or torchrun has started another number of processes.
    """
    outside = started_outside()
    if outside is not None and (devices, nodes) not in ((1, 1), outside):
        raise UserError(
            f"--devices {devices} --nodes {nodes}: the launcher has started {outside[0]} processes on each of "
            f"{outside[1]} nodes; leave --devices and --nodes out"
        )
    devices, nodes = outside or (devices, nodes)
    if devices * nodes == 1:
        yield ALONE
        return
    on_gpus = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_gpus and torch.cuda.device_count() < devices:
        raise UserError(f"--devices {devices}: torch finds {torch.cuda.device_count()} GPUs here; or use --device cpu")
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    for name in ("lightning_fabric", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)  # no messages about each process that joins

    strategy = DDPStrategy(
        start_method="popen", process_group_backend="nccl" if on_gpus else "gloo", timeout=LONGEST_WAIT
    )
    fabric = Fabric(accelerator="cuda" if on_gpus else "cpu", devices=devices, num_nodes=nodes, strategy=strategy)
    fabric.launch()
    team = RankedTeam()
    interrupted = False
    try:
        yield team
    except KeyboardInterrupt:
        interrupted = True  # perhaps during a collective operation: the other ranks see the connection end
        raise
    finally:
        if not team.rank and not interrupted:
            with suppress(LostProcessError):
                team.tell(None)
        with suppress(RuntimeError):  # if another process has already ended
            distributed.destroy_process_group()
