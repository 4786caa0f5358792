"""Gaussian classes with one diagonal covariance and means that are shrunk towards the common mean."""

from collections.abc import Sequence

import torch
from torch import Tensor

from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.label_scores import Scores, linear_scores, of_judges
from infoplane.estimators.linear_designs import Features
from infoplane.estimators.units import row_blocks


class ShrunkenMeans:
    """The fits of this family, which has one candidate.

    In many dimensions the squared error of a class mean is known in advance: features / samples in units of the
    variance. Without shrinkage, this error would count as signal of every class.

    Source: James & Stein (1961), Proc. 4th Berkeley Symp. 1, 361 (positive part).
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks

    def advance(self, going: Tensor) -> Tensor:
        """Fit the means of all tasks at once."""
        tasks = self._tasks.some(going)
        return of_judges(tasks, Features.of(tasks).products(shrunken_means(tasks)))

    def refitted(self, chosen: Tensor, steps: Sequence[int]) -> list[Scores]:
        """Fit the means to all examples."""
        del steps  # there is one
        return linear_scores(shrunken_means(self._tasks.some(chosen).on_all()))


def shrunken_means(tasks: Tasks) -> Tensor:
    """Return the parameters of all tasks, `(tasks, classes, features + 1)`, the bias last."""
    samples = tasks.fitting.sum(dim=1).float()[:, None]
    counts = (tasks.members * samples[:, None]).sum(dim=2)  # (tasks, classes)
    frequencies = counts / samples
    means = (tasks.members.flatten(end_dim=1) @ tasks.points).view(*counts.shape, -1)
    means = (means / frequencies.clamp(min=1 / samples)[..., None] - tasks.shift[:, None]) * tasks.scale[:, None]
    means = means * (counts > 0)[..., None]
    total = _mean_squares(tasks)
    between = (frequencies[..., None] * means.square()).sum(dim=1)
    freedom = samples / (samples - (counts > 0).sum(dim=1, keepdim=True)).clamp(min=1)
    # Without this limit, a unit that is constant within each class would decide alone, with probability 1.
    variance = ((total - between) * freedom).clamp(min=0.01)[:, None]
    lengths = (means.square() / variance).sum(dim=2)
    noise = (total > 0).sum(dim=1, keepdim=True) * (1 / counts.clamp(min=1) - 1 / samples)
    shrinkage = (1 - noise / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)).clamp(min=0)
    return torch.cat([shrinkage[..., None] * means / variance, -(shrinkage.square() * lengths)[..., None] / 2], dim=2)


def _mean_squares(tasks: Tasks) -> Tensor:
    """Return the mean square of each unit over the examples of the fit, `(tasks, features)`."""
    points, total = tasks.points, torch.zeros_like(tasks.shift)
    for rows in row_blocks(len(points), points.shape[1], points.device):
        for task, weights in enumerate(tasks.weights[:, 0, rows]):
            total[task] += weights @ tasks.own_points(task, rows).square_()
    return total
