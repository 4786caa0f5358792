"""FreeLB for images: the update is the mean of the weight gradients at all steps of the attack."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.attacks import PGD
from infoplane.attacks.balls import by_largest
from infoplane.training.dropout import SameMasks
from infoplane.training.method import Stateless, StepRecord
from infoplane.training.normal import classified


@dataclass(frozen=True)
class FreeLBTraining(Stateless):
    """Takes K gradients at x + delta_0 ... x + delta_{K-1}; each moves delta and adds 1/K of the weight gradient.

    Unlike Free-AT, the weights stay fixed during the ascent. Unlike PGD-AT, all K gradients are used. In the L2
    ball a step has a fixed length along the gradient; in the L-infinity ball the gradient is divided by its largest
    element, not replaced by its sign. Dropout masks are the same in all K passes.

    Cost per update: K forward and backward passes; batch statistics are updated K times. Source: Zhu et al. (2020),
    arXiv:1909.11764, Algorithm 1, with pixels in place of embeddings.

    Args:
        attack: gives the ball, the number of steps K and the step size. Every start is random.
    """

    attack: PGD

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        """Update `model` once with the mean of K gradients; loss and accuracy are means over the K passes."""
        optimiser.zero_grad(set_to_none=True)
        region, masks, steps = self.attack.region(images), SameMasks(images.device), self.attack.steps
        attacked = region.random_point(generator)
        losses, correct = [], []
        for _ in range(steps):
            masks.rewind()
            attacked = attacked.detach().requires_grad_()
            logits = model(attacked)
            loss = F.cross_entropy(logits, labels)
            (loss / steps).backward()  # type: ignore[no-untyped-call]
            assert attacked.grad is not None
            gradient = attacked.grad
            if self.attack.norm == "linf":
                moved = attacked.detach().add_(by_largest(gradient), alpha=self.attack.step_size)
                attacked = region.projected_(moved)
            else:
                attacked = region.step_(attacked.detach(), gradient, self.attack.step_size)
            losses.append(loss.detach())
            correct.append(classified(logits, labels))
        optimiser.step()
        passes = steps * len(images)
        return StepRecord(torch.stack(losses).mean(), torch.stack(correct).double().mean(), passes, passes)
