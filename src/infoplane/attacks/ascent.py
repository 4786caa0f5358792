"""The ascent that projected-gradient attacks share: nothing but the model, the gradient and the region."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork
from infoplane.attacks.balls import Region
from infoplane.attacks.hygiene import GradientHealth

# Of the logits, in the precision of the images: what is raised, summed over the images. A mean over a large batch would
# underflow, and would depend on the size of the batch.
Objective = Callable[[Tensor], Tensor]


def raise_cross_entropy(labels: Tensor) -> Objective:
    """Return the objective of untargeted attacks."""
    return lambda logits: F.cross_entropy(logits, labels, reduction="sum")


def lower_cross_entropy(target: Tensor) -> Objective:
    """Return the objective of targeted attacks."""
    return lambda logits: -F.cross_entropy(logits, target, reduction="sum")


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
    """Climb `objective` from `start`; no branch looks at a tensor, so that a GPU never waits.

    Args:
        model: returns logits; its mode and state are the caller's (`model_left_as_found`).
        start: `(batch, channels, height, width)`, inside the region; left as it is.
        region: where the images must stay.
        objective: what is raised.
        steps: input gradients per image.
        step_size: in the norm of the region.
        health: hears every gradient.
    """

    attacked = start.clone()
    with model.weights_held_still() if isinstance(model, AcceleratedNetwork) else nullcontext():
        for _ in range(steps):
            logits = model(attacked.requires_grad_())
            # The model may run in lower precision, what is raised never.
            raised = objective(logits.to(start.dtype))
            # autograd.grad, not backward(): an attack leaves no gradients on the weights.
            (gradient,) = torch.autograd.grad(raised, attacked)
            health.observe_logits(logits)
            health.observe_gradient(gradient)
            attacked = region.step_(attacked.detach(), gradient, step_size)
    return attacked.detach()
