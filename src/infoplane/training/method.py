"""What the loop asks of a training method, and the adapter for methods that are only a loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class StepRecord(NamedTuple):
    """What one call of `step` did. Tensors stay on the device, so that recording costs no synchronisation."""

    loss: Tensor  # scalar: mean over the images that the weights were last updated on, in nats
    correct: Tensor  # scalar: how many of them were classified right
    forward_evaluations: int  # images times forward passes
    gradient_evaluations: int  # images times backward passes, whether to the input or to the weights


class TrainingMethod(Protocol):
    """An object that turns a batch into an update of the weights; it owns no loop, schedule or log.

    A method may step the optimiser several times per batch (Free-AT), assemble gradients itself (YOPO, FreeLB) or
    move weights around the backward pass (AWP). What it keeps between batches goes through its state.
    """

    def step(
        self,
        model: nn.Module,
        optimiser: Optimizer,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
    ) -> StepRecord:
        """Update `model`, in training mode, on images in [0, 1]."""
        ...

    def end_epoch(self) -> None:
        """Called after the last batch of an epoch."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values that a continued run needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        ...


class BatchLoss(NamedTuple):
    """A differentiable scalar loss, in nats, and how many of its images the model classified right."""

    loss: Tensor
    correct: Tensor


@dataclass(frozen=True, kw_only=True)
class LossMethod:
    """A training method that is a loss: one backward pass, one step of the optimiser.

    Args:
        loss: `(model, images, labels, *, generator) -> BatchLoss`.
        forward_evaluations: forward passes per image, the one of the loss included.
        gradient_evaluations: backward passes per image, the one of the loss included.
    """

    loss: Callable[..., BatchLoss]
    forward_evaluations: int
    gradient_evaluations: int

    def step(
        self,
        model: nn.Module,
        optimiser: Optimizer,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
    ) -> StepRecord:
        """Update `model` by one step of the optimiser on the loss."""
        optimiser.zero_grad(set_to_none=True)
        result = self.loss(model, images, labels, generator=generator)
        result.loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return StepRecord(
            loss=result.loss.detach(),
            correct=result.correct,
            forward_evaluations=len(images) * self.forward_evaluations,
            gradient_evaluations=len(images) * self.gradient_evaluations,
        )

    def end_epoch(self) -> None:
        """Nothing to do: a loss keeps nothing between batches."""

    def state_dict(self) -> dict[str, Any]:
        """Empty: a loss keeps nothing between batches."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the empty state."""
        if state:
            raise ValueError(f"a loss keeps no state, got {sorted(state)}")
