"""Products of all tasks' weights with the examples, in the features or in the span of the examples of the fit."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from infoplane.estimators.decoding_tasks import Tasks

_FEW = 1024  # with at most this many examples of the fit, computing their span saves time
_STORED = 2**26  # numbers in the directions of all spans together


class Design(Protocol):
    """The examples of several tasks, as linear fits see them. The last column of all parameters is the bias."""

    @property
    def dimensions(self) -> int:
        """Number of weights per class."""

    def some(self, chosen: Tensor) -> "Design":
        """Return the same for some of the tasks, by their indices."""

    def products(self, parameters: Tensor) -> Tensor:
        """Return scores `(tasks, classes, samples)` from parameters `(tasks, classes, dimensions + 1)`."""

    def gradient(self, residuals: Tensor) -> Tensor:
        """Return gradients like parameters from gradients of the scores `(tasks, classes, samples)`."""

    def widened(self, tasks: Tasks) -> "Design":
        """Return a design of the same kind for the same tasks, fitted on more examples."""

    def inward(self, parameters: Tensor) -> Tensor:
        """Return parameters of this design from those of the features, `(tasks, classes, features + 1)`."""

    def outward(self, parameters: Tensor) -> Tensor:
        """Return parameters of the features from those of this design."""


def design_of(tasks: Tasks) -> Design:
    """Choose the design that is faster for these tasks."""
    samples, features = tasks.points.shape
    fitted = int(tasks.fitting.sum(dim=1).max())
    if fitted < features and samples <= _FEW and len(tasks) * features * fitted <= _STORED:
        return _Spans.of(tasks)
    return Features.of(tasks)


@dataclass(frozen=True)
class Features:
    """The features themselves: one matrix for all tasks, each with its own standardisation."""

    points: Tensor  # (samples, features)
    shift: Tensor  # (tasks, features)
    scale: Tensor

    @classmethod
    def of(cls, tasks: Tasks) -> "Features":
        return cls(tasks.points, tasks.shift, tasks.scale)

    @property
    def dimensions(self) -> int:
        return self.points.shape[1]

    def widened(self, tasks: Tasks) -> "Features":
        return Features.of(tasks)

    def some(self, chosen: Tensor) -> "Features":
        return replace(self, shift=self.shift[chosen], scale=self.scale[chosen])

    def products(self, parameters: Tensor) -> Tensor:
        scaled = parameters[..., :-1] * self.scale[:, None]
        bias = parameters[..., -1] - (scaled * self.shift[:, None]).sum(dim=2)
        # In this order the product is twice as fast on a CPU as its transpose.
        together = scaled.flatten(end_dim=1) @ self.points.T
        return together.view(*parameters.shape[:2], -1) + bias[..., None]

    def gradient(self, residuals: Tensor) -> Tensor:
        together = (residuals.flatten(end_dim=1) @ self.points).view(*residuals.shape[:2], -1)
        by_bias = residuals.sum(dim=2, keepdim=True)
        by_weight = (together - by_bias * self.shift[:, None]) * self.scale[:, None]
        return torch.cat([by_weight, by_bias], dim=2)

    def inward(self, parameters: Tensor) -> Tensor:
        return parameters

    def outward(self, parameters: Tensor) -> Tensor:
        return parameters


@dataclass(frozen=True)
class _Spans:
    """The span of the examples of each fit, if it has fewer dimensions than there are features.

    The weights of the smallest penalised loss lie in this span: any part outside increases the penalty and changes no
    score of the fit. The coordinates keep lengths, so the weights are the same.
    """

    directions: Tensor  # (tasks, features, dimensions), orthonormal columns
    coordinates: Tensor  # (tasks, samples, dimensions)

    @classmethod
    def of(cls, tasks: Tasks) -> "_Spans":
        (samples, features), dimensions = tasks.points.shape, int(tasks.fitting.sum(dim=1).max())
        directions = tasks.points.new_zeros((len(tasks), features, dimensions))
        coordinates = tasks.points.new_zeros((len(tasks), samples, dimensions))
        for task, fitting in enumerate(tasks.fitting):
            points = tasks.own_points(task, torch.arange(samples, device=fitting.device))
            basis, _ = torch.linalg.qr(points[fitting].T)
            directions[task, :, : basis.shape[1]] = basis
            torch.mm(points, basis, out=coordinates[task, :, : basis.shape[1]])
        return cls(directions, coordinates)

    @property
    def dimensions(self) -> int:
        return self.coordinates.shape[2]

    def widened(self, tasks: Tasks) -> "_Spans":
        return _Spans.of(tasks)

    def some(self, chosen: Tensor) -> "_Spans":
        return _Spans(self.directions[chosen], self.coordinates[chosen])

    def products(self, parameters: Tensor) -> Tensor:
        return parameters[..., :-1] @ self.coordinates.mT + parameters[..., -1:]

    def gradient(self, residuals: Tensor) -> Tensor:
        return torch.cat([residuals @ self.coordinates, residuals.sum(dim=2, keepdim=True)], dim=2)

    def inward(self, parameters: Tensor) -> Tensor:
        return torch.cat([parameters[..., :-1] @ self.directions, parameters[..., -1:]], dim=2)

    def outward(self, parameters: Tensor) -> Tensor:
        return torch.cat([parameters[..., :-1] @ self.directions.mT, parameters[..., -1:]], dim=2)
