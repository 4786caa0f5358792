"""Projected gradient ascent on images: the loop that the PGD attacks share."""

from torch import Tensor

from infoplane.attacks.balls import Region
from infoplane.attacks.goal import Objective
from infoplane.attacks.oracle import Oracle


def ascend(
    oracle: Oracle, start: Tensor, region: Region, objective: Objective, *, steps: int, step_size: float
) -> Tensor:
    """Raise `objective` step by step from `start`. The loop reads no tensor values, so a GPU never has to wait.

    Args:
        oracle: the network.
        start: `(batch, channels, height, width)`, inside the region; not changed.
        region: the set in which the images must stay.
        objective: the function that is raised; steps look at no gradient's length.
        steps: number of input gradients per image.
        step_size: length of a step in the norm of the region.
    """
    attacked = start.clone()
    for _ in range(steps):
        _, gradient = oracle.gradient(attacked, objective)
        attacked = region.step_(attacked.detach(), gradient, step_size)
    return attacked
