"""Named task: how to draw from a distribution of known information."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

Task = TypeVar("Task")


@dataclass(frozen=True, kw_only=True)
class NamedTask(Generic[Task]):
    """A distribution whose information is known, with a name."""

    name: str
    information: float  # in nats; the same for every draw
    draw: Callable[[int, torch.Generator], Task]  # from the number of samples
    truth: str  # formula or source of the information
