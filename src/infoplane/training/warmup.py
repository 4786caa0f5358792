"""Warm-up of epsilon: training starts with small perturbations, and the radius of the ball grows."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.training.method import StepRecord, TrainingMethod


class EpsilonWarmup:
    """Raises the radius of a method's ball linearly over its first steps, then keeps it at its full value.

    A network with random weights has no robust features yet. At the full radius it learns nothing from attacked images
    and may stay at chance.

    Args:
        build: function of a share in (0, 1] that returns the method with this share of the radius and step size.
        steps: number of calls of `step` until the radius is full, at least 1.
    """

    def __init__(self, build: Callable[[float], TrainingMethod], steps: int) -> None:
        self._build, self._steps = build, steps
        self._done = 0  # number of calls of `step`
        self._method = build(self.share)

    @property
    def share(self) -> float:
        """Radius of the next step, divided by the full radius."""
        return min(1.0, (self._done + 1) / self._steps)

    @property
    def replays(self) -> int:
        """Updates per batch of the method."""
        return self._method.replays

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        """Update `model` with the method at the current radius."""
        record = self._method.step(model, optimiser, images, labels, generator=generator)
        self._done += 1
        if self._done <= self._steps:  # otherwise the radius is full already
            self._grow()
        return record

    def _grow(self) -> None:
        kept = self._method.state_dict()
        self._method = self._build(self.share)
        self._method.load_state_dict(kept)

    def end_epoch(self, model: nn.Module) -> str | None:
        """Call `end_epoch` of the method and return its result."""
        return self._method.end_epoch(model)

    def state_dict(self) -> dict[str, Any]:
        """State: the number of steps, and the state of the method."""
        return {"steps": self._done, "method": self._method.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the number of steps and the state of the method."""
        self._done = state["steps"]
        self._method = self._build(self.share)
        self._method.load_state_dict(state["method"])
