"""Protocol of a training method, and `LossMethod`, the adapter for methods that are only a loss."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help


@with_field_help
@with_short_repr
class StepRecord(NamedTuple):
    """What one call of `step` did. Tensors stay on the device, so that recording costs no synchronisation.

    Attributes:
        loss: scalar: mean over the images that the weights were last updated on, in nats.
        correct: scalar: how many of them were classified right.
        forward_evaluations: images times forward passes.
        gradient_evaluations: images times backward passes, whether to the input or to the weights.
    """

    loss: Tensor
    correct: Tensor
    forward_evaluations: int
    gradient_evaluations: int


class TrainingMethod(Protocol):
    """An object that updates the weights for each batch; loop, schedule and log belong to the trainer.

    A method may step the optimiser several times per batch (Free-AT), assemble gradients itself (YOPO, FreeLB) or
    move weights during the backward pass (AWP). What it keeps between batches must be in its `state_dict`.
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

    @property
    def replays(self) -> int:
        """Updates per batch. An epoch uses one batch in `replays`, so all methods make as many updates."""
        ...

    def end_epoch(self, model: nn.Module) -> str | None:
        """Called after the last batch of an epoch; a returned string says why training must stop now."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values that a continued run needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state that `state_dict` returned."""
        ...


class Stateless:
    """Base class of training methods that keep nothing between batches."""

    @property
    def replays(self) -> int:
        """Updates per batch: one."""
        return 1

    def end_epoch(self, model: nn.Module) -> str | None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Accept the empty state."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, got {sorted(state)}")


@with_field_help
class Batch(NamedTuple):
    """What a loss is taken on.

    Attributes:
        images: `(batch, channels, height, width)` in [0, 1], as they came.
        attacked: likewise, as the method attacks them; the same where it does not.
        labels: `(batch,)` integers.
    """

    images: Tensor
    attacked: Tensor
    labels: Tensor


@with_field_help
class BatchLoss(NamedTuple):
    """A differentiable scalar loss, in nats, and how many of its images the model classified right.

    Attributes:
        loss: scalar, in nats.
        correct: scalar: number of images.
    """

    loss: Tensor
    correct: Tensor


Attacker = Callable[..., Tensor]  # (model, images, labels, *, generator) -> attacked images


@with_field_help
class Cost(NamedTuple):
    """Passes per image.

    Attributes:
        forward: forward passes.
        gradient: backward passes, to the input or to the weights.
    """

    forward: int
    gradient: int


_NOTHING = Cost(forward=0, gradient=0)


@dataclass(frozen=True, kw_only=True)
class LossMethod(Stateless):
    """A training method that is a loss: one backward pass, one step of the optimiser.

    Args:
        loss: `(model, batch) -> BatchLoss`, with the model in training mode.
        cost: passes per image that the loss takes.
        attack: makes `batch.attacked`; it sets the mode of the model itself. With None, images are not attacked.
        attack_cost: passes per image that the attack takes.
    """

    loss: Callable[[nn.Module, Batch], BatchLoss]
    cost: Cost
    attack: Attacker | None = None
    attack_cost: Cost = _NOTHING

    def attacked(self, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Batch:
        """Attack the images and return the batch for the loss."""
        attacked = images if self.attack is None else self.attack(model, images, labels, generator=generator)
        return Batch(images, attacked, labels)

    def descend(self, model: nn.Module, optimiser: Optimizer, batch: Batch) -> StepRecord:
        """Take one step of the optimiser on the loss of `batch`; the record includes the passes of the attack."""
        optimiser.zero_grad(set_to_none=True)
        result = self.loss(model, batch)
        result.loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return StepRecord(
            loss=result.loss.detach(),
            correct=result.correct,
            forward_evaluations=len(batch.labels) * (self.cost.forward + self.attack_cost.forward),
            gradient_evaluations=len(batch.labels) * (self.cost.gradient + self.attack_cost.gradient),
        )

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
        return self.descend(model, optimiser, self.attacked(model, images, labels, generator=generator))
