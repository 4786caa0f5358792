"""Projected gradient ascent on images: the loop that the PGD attacks share."""

import math
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork
from infoplane.attacks.balls import Region
from infoplane.attacks.hygiene import GradientHealth
from infoplane.checks import check_class_places, labels_within
from infoplane.networks.logits import logits_of

# From the logits, in the precision of the images, to the direction in which they are to move, of the same shape: for
# each image the gradient of what is raised, up to a positive factor. Steps look at no gradient's length.
Objective = Callable[[Tensor], Tensor]


def raise_cross_entropy(labels: Tensor) -> Objective:
    """Return the objective of untargeted attacks: the gradient of the cross-entropy, divided by 1 - p_y.

    The cross-entropy of logits z is ln(1 + e^m) of the margin m = ln sum_{k != y} e^{z_k} - z_y. Its gradient is that
    of m times 1 - p_y. float32 rounds 1 - p_y to 0 where the model is very confident (m < -17), and the attack would
    then leave such images unchanged.

    Args:
        labels: `(batch,)` int64.
    """
    labels_range = labels_within(labels)  # once: a loop that looks at values makes a GPU wait

    def direction(logits: Tensor) -> Tensor:
        check_class_places(labels_range, logits.shape[1])
        rivals = logits.scatter(1, labels[:, None], -math.inf).softmax(dim=1)
        return rivals.scatter_(1, labels[:, None], -1.0)

    return direction


def lower_cross_entropy(target: Tensor) -> Objective:
    """Return the objective of targeted attacks: the direction that lowers the cross-entropy of the target class."""
    direction = raise_cross_entropy(target)
    return lambda logits: direction(logits).neg_()


def ascend(
    model: nn.Module,
    start: Tensor,
    region: Region,
    objective: Objective,
    *,
    steps: int,
    step_size: float,
    health: GradientHealth,
) -> Tensor:
    """Raise `objective` step by step from `start`. The loop reads no tensor values, so a GPU never has to wait.

    Args:
        model: returns logits. The caller chooses its mode and restores its state (`model_left_as_found`).
        start: `(batch, channels, height, width)`, inside the region; not changed.
        region: the set in which the images must stay.
        objective: the function that is raised.
        steps: number of input gradients per image.
        step_size: length of a step in the norm of the region.
        health: counts images with unusable gradients; it is given every gradient.
    """

    attacked = start.clone()
    with model.frozen_weights() if isinstance(model, AcceleratedNetwork) else nullcontext():
        for _ in range(steps):
            # A copy: a model may write over its input.
            logits = logits_of(model(attacked.requires_grad_().clone()))
            if not logits.requires_grad:
                raise ValueError("the model's logits carry no gradient to the images, which this attack needs")
            # The model may run in lower precision, what is raised never.
            direction = objective(logits.detach().to(start.dtype))
            # autograd.grad, not backward(): an attack leaves no gradients on the weights.
            (gradient,) = torch.autograd.grad(logits, attacked, direction.to(logits.dtype))
            health.observe_logits(logits)
            health.observe_gradient(gradient)
            attacked = region.step_(attacked.detach(), gradient, step_size)
    return attacked.detach()
