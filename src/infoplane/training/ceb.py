"""CEB, the conditional entropy bottleneck: cross-entropy plus what the code tells beyond the label."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.checks import check_at_least
from infoplane.networks.gaussian_layer import Code
from infoplane.networks.wrappers import unwrapped
from infoplane.training.coded_loss import code_loss
from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod, StepRecord

FIRST_RHO = 100.0  # e^-100 is no penalty at all


def residual_information(code: Code, class_means: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over the batch of ln e(z|x) - ln b(z|y), a scalar in nats.

    e is the code's own N(mean, diag(variance)), z its draw, and b = N(class_means[y], I). The expectation over z bounds
    I(X; Z | Y) from above.

    Args:
        code: of a batch.
        class_means: `(classes, features)`.
        labels: `(batch,)` integers.
    """
    drawn = code.drawn.flatten(start_dim=1)
    noise = ((code.drawn - code.mean).square() / code.variance + code.variance.log()).flatten(start_dim=1)
    return ((drawn - class_means[labels]).square() - noise).sum(dim=1).mean() / 2


class CEBTraining:
    """Minimises CE + e^-rho E[ln e(z|x) - ln b(z|y)] with one draw z of the code, in nats.

    Gradients reach e through z. rho falls in a straight line from 100 to its value over the first updates: a network
    that is penalised from its first update on may never learn to classify.

    The network needs a `GaussianLayer` and `class_means`, `(classes, features)`, the means of b(z|y), which are trained
    too. Cost per update: one forward and backward pass. Source: Fischer (2020), Entropy 22(9), 999; Fischer & Alemi
    (2020), arXiv:2002.05380.

    Args:
        rho: the lower, the more the code is compressed; 0 weighs both terms alike.
        annealing_updates: updates until rho has its value.
    """

    def __init__(self, rho: float, *, annealing_updates: int = 0) -> None:
        check_at_least(annealing_updates, 0, name="annealing_updates")
        if not math.isfinite(rho):
            raise ValueError(f"rho must be finite, got {rho}")
        self._last, self._annealing = rho, annealing_updates
        self._done = 0  # updates
        self._method = LossMethod(loss=self._loss, cost=Cost(forward=1, gradient=1))

    @property
    def rho(self) -> float:
        """Rho of the next update."""
        left = 1 - self._done / self._annealing if self._done < self._annealing else 0.0
        return self._last + left * max(0.0, FIRST_RHO - self._last)

    def _loss(self, model: nn.Module, batch: Batch) -> BatchLoss:
        means, weight = class_means(model), math.exp(-self.rho)
        return code_loss(model, batch, lambda code, labels: weight * residual_information(code, means, labels))

    @property
    def replays(self) -> int:
        """Updates per batch: one."""
        return 1

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        """Update `model` by one step of the optimiser on the loss."""
        record = self._method.step(model, optimiser, images, labels, generator=generator)
        self._done += 1
        return record

    def end_epoch(self, model: nn.Module) -> str | None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """State: the number of updates, on which rho depends."""
        return {"updates": self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the number of updates."""
        self._done = state["updates"]


def class_means(model: nn.Module) -> Tensor:
    """Return the means of the backward encoder, `(classes, features)`.

    Raises:
        ValueError: the network has none.
    """
    network = unwrapped(model)
    means = getattr(network, "class_means", None)
    if not isinstance(means, Tensor):
        raise ValueError(
            f"{type(network).__name__} has no class_means, (classes, features), the means of b(z|y) that CEB trains"
        )
    return means
