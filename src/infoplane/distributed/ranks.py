"""Starting one process per device, through lightning-fabric; under torchrun they are there already."""

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


# The leader draws figures while the others wait. A process that ends is noticed at once, whatever this is.
LONGEST_WAIT = timedelta(days=1)


@contextmanager
def ranks_started(devices: int, nodes: int, device: Literal["auto", "cpu", "cuda"]) -> Iterator[Team]:
    """Give the command that runs now to one process per device; inside the block they are a team.

    On one device there is no more than this process, and lightning-fabric is not imported. When the leader leaves the
    block, the others hear None.

    Args:
        devices: per node; 1 takes over what torchrun has started.
        nodes: with several, the command is given on each, with MASTER_ADDR and NODE_RANK set.
        device: what each process computes on.

    Raises:
        UserError: there are not so many GPUs, or what torchrun has started is something else than what was asked for.
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
        logging.getLogger(name).setLevel(logging.ERROR)  # who joined when is nobody's news

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
        interrupted = True  # perhaps amid what all do together: the others hear it from the connection that ends
        raise
    finally:
        if not team.rank and not interrupted:
            with suppress(LostProcessError):
                team.tell(None)
        with suppress(RuntimeError):  # where another process is gone already
            distributed.destroy_process_group()
