"""Decoding tasks: which examples fit a decoder, and which choose and calibrate it; many tasks share their examples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Tasks:
    """Several tasks on the same examples, each with its own labels and examples of the fit.

    The large matrix `points` is in memory once, and one product with it serves all tasks.
    """

    points: Tensor  # (samples, features) float32, standardised
    labels: Tensor  # (tasks, samples) integers from 0
    fitting: Tensor  # (tasks, samples) booleans: these fit the candidates
    judging: Tensor  # (tasks, samples) booleans: these choose and calibrate
    log_prior: Tensor  # (tasks, classes)
    generators: Sequence[torch.Generator]  # one per task

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.log_prior.shape[1]

    def some(self, chosen: Tensor) -> "Tasks":
        """Return some of the tasks, by their indices in ascending order."""
        if len(chosen) == len(self):
            return self
        own = {name: getattr(self, name)[chosen] for name in ("labels", "fitting", "judging", "log_prior")}
        return replace(self, **own, generators=[self.generators[task] for task in chosen.tolist()])

    def on_all(self) -> "Tasks":
        """Return the same tasks, fitted on the examples that judge as well."""
        return replace(self, fitting=self.fitting | self.judging)

    @cached_property
    def weights(self) -> Tensor:
        """Weight of each example in the mean over the examples of the fit, `(tasks, 1, samples)`."""
        return (self.fitting / self.fitting.sum(dim=1, keepdim=True).clamp(min=1)).float()[:, None]

    @cached_property
    def members(self) -> Tensor:
        """Weight of each example in its own class, `(tasks, classes, samples)`."""
        return F.one_hot(self.labels, self.classes).mT * self.weights

    @cached_property
    def judges(self) -> tuple[Tensor, Tensor]:
        """Indices of the examples that judge, `(tasks, most)`, and which are real: shorter rows are filled up."""
        counts = self.judging.sum(dim=1)
        order = torch.argsort(self.judging.int(), dim=1, descending=True, stable=True)[:, : int(counts.max())]
        return order, torch.arange(order.shape[1], device=order.device) < counts[:, None]
