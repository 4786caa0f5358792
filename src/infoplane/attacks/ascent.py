"""Projected gradient ascent on images: the loops that the attacks by steps of one length share."""

from collections.abc import Callable

import torch
from torch import Tensor

from infoplane.attacks.balls import Region
from infoplane.attacks.goal import Goal, Objective
from infoplane.attacks.oracle import Oracle
from infoplane.attacks.strongest import Strongest


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


def ascend_until_reached(
    oracle: Oracle,
    found: Strongest,
    images: Tensor,
    start: Tensor,
    goal: Goal,
    region_around: Callable[[Tensor], Region],
    *,
    steps: int,
    step_size: float,
) -> None:
    """Raise the cross-entropy of those images that have not reached their goal, each until it does.

    Args:
        oracle: the network.
        found: says which images have not reached their goal, and takes their versions: the first that reaches it, or
            the last one.
        images: `(batch, channels, height, width)`, as they came.
        start: likewise, inside the region.
        goal: of each image.
        region_around: function of images that returns the set in which they must stay.
        steps: largest number of input gradients per image; the last step takes one more forward pass.
        step_size: length of a step in the norm of the region.
    """
    rows = found.unreached
    attacked, own, region = start[rows], goal[rows], region_around(images[rows])
    for _ in range(steps):
        if not len(rows):
            return
        logits, gradient = oracle.gradient(attacked, own.cross_entropy, rows)
        reached = own.is_reached(logits)
        if bool(reached.any()):
            found.offer(rows[reached], attacked[reached], reached[reached], own.margin(logits)[reached])
            rows, attacked, gradient = rows[~reached], attacked[~reached], gradient[~reached]
            own, region = goal[rows], region_around(images[rows])
        attacked = region.step_(attacked.detach(), gradient, step_size)
    if len(rows):
        logits = oracle.logits(attacked)
        found.offer(rows, attacked, own.is_reached(logits), own.margin(logits))


def all_rows(images: Tensor) -> Tensor:
    """Return the places of all images of a batch."""
    return torch.arange(len(images), device=images.device)
