"""A ball that grows: methods that attack begin with small perturbations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.training.method import StepRecord, TrainingMethod


class EpsilonWarmup:
    """Raises the radius of a method's ball in a straight line over its first steps, and keeps it full afterwards.

    A network of random weights has no robust features yet: at the full radius it learns nothing from attacked images
    and may stay at chance.

    Args:
        build: from a share in (0, 1] to the method whose radius and step size are this share of the full ones.
        steps: calls of `step` until the radius is full, at least 1.
    """

    def __init__(self, build: Callable[[float], TrainingMethod], steps: int) -> None:
        self._build, self._steps = build, steps
        self._done = 0  # calls of step
        self._method = build(self.share)

    @property
    def share(self) -> float:
        """Radius of the coming step over the full one."""
        return min(1.0, (self._done + 1) / self._steps)

    @property
    def replays(self) -> int:
        """Those of the method."""
        return self._method.replays

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        """Let the method update `model` at the radius that is due."""
        record = self._method.step(model, optimiser, images, labels, generator=generator)
        self._done += 1
        if self._done <= self._steps:  # else it is full already
            self._grow()
        return record

    def _grow(self) -> None:
        kept = self._method.state_dict()
        self._method = self._build(self.share)
        self._method.load_state_dict(kept)

    def end_epoch(self, model: nn.Module) -> str | None:
        """What the method says."""
        return self._method.end_epoch(model)

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, and the method's state."""
        return {"steps": self._done, "method": self._method.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take both back."""
        self._done = state["steps"]
        self._method = self._build(self.share)
        self._method.load_state_dict(state["method"])
