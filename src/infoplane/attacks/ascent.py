"""The ascent that projected-gradient attacks share: nothing but the model, the gradient and the region."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork, in_parts, weights_held_still
from infoplane.attacks.balls import Region
from infoplane.attacks.hygiene import GradientHealth

# Of the logits of some rows of the batch, in the precision of the images: what is raised, summed over these rows. A
# mean over a large batch would underflow, and would depend on the size of the part.
Objective = Callable[[Tensor, slice], Tensor]


def raise_cross_entropy(labels: Tensor) -> Objective:
    """Return the objective of untargeted attacks."""
    return lambda logits, rows: F.cross_entropy(logits, labels[rows], reduction="sum")


def lower_cross_entropy(target: Tensor) -> Objective:
    """Return the objective of targeted attacks."""
    return lambda logits, rows: -F.cross_entropy(logits, target[rows], reduction="sum")


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

    An accelerated network in evaluation mode is attacked in parts of the batch, side by side; in training mode batch
    statistics tie the images of a batch together, and it stays whole.

    Args:
        model: returns logits; its mode and state are the caller's (`model_left_as_found`).
        start: `(batch, channels, height, width)`, inside the region; left as it is.
        region: where the images must stay.
        objective: what is raised.
        steps: input gradients per image.
        step_size: in the norm of the region.
        health: hears every gradient.
    """

    def climb(rows: slice) -> Tensor:
        attacked, own = start[rows].clone(), region.rows(rows)
        with torch.enable_grad():  # threads begin without what their parent set
            for _ in range(steps):
                logits = model(attacked.requires_grad_())
                # The model may run in lower precision, what is raised never.
                raised = objective(logits.to(start.dtype), rows)
                # autograd.grad, not backward(): an attack leaves no gradients on the weights.
                (gradient,) = torch.autograd.grad(raised, attacked)
                health.observe_logits(logits)
                health.observe_gradient(gradient, rows)
                attacked = own.step_(attacked.detach(), gradient, step_size)
        return attacked.detach()

    workers = model.choices.workers if isinstance(model, AcceleratedNetwork) else 1
    if any(module.training for module in model.modules()):
        workers = 1
    with weights_held_still(model) if isinstance(model, AcceleratedNetwork) else nullcontext():
        parts = in_parts(climb, len(start), workers)
    return parts[0] if len(parts) == 1 else torch.cat(parts)
