"""Gaussian classes with one diagonal covariance and means that are shrunk towards the common mean."""

from collections.abc import Sequence

import torch
from torch import Tensor

from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.label_scores import Scores, linear_scores, of_judges
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
        parameters = shrunken_means(tasks)
        together = parameters[..., :-1].flatten(end_dim=1) @ tasks.points.T
        return of_judges(tasks, together.view(*parameters.shape[:2], -1) + parameters[..., -1:])

    def refitted(self, chosen: Tensor, steps: Sequence[int]) -> list[Scores]:
        """Fit the means to all examples."""
        del steps  # there is one
        return linear_scores(shrunken_means(self._tasks.some(chosen).on_all()))


def shrunken_means(tasks: Tasks) -> Tensor:
    """Return the parameters of all tasks, `(tasks, classes, features + 1)`, the bias last."""
    samples = tasks.fitting.sum(dim=1).float()[:, None]
    frequencies = tasks.members.sum(dim=2)  # (tasks, classes)
    counts = frequencies * samples
    sums = (tasks.members.flatten(end_dim=1) @ tasks.points).view(*counts.shape, -1)
    middle = sums.sum(dim=1, keepdim=True)
    present = (counts > 0)[..., None]
    means = torch.where(present, sums / frequencies.clamp(min=1e-30)[..., None] - middle, 0.0)
    total = _mean_squares(tasks, middle[:, 0])
    between = (frequencies[..., None] * means.square()).sum(dim=1)
    freedom = samples / (samples - present.squeeze(2).sum(dim=1, keepdim=True)).clamp(min=1)
    # Without this limit, a unit that is constant within each class would decide alone, with probability 1.
    variance = ((total - between) * freedom).clamp(min=0.01)[:, None]
    lengths = (means.square() / variance).sum(dim=2)
    noise = (total > 0).sum(dim=1, keepdim=True) * (1 / counts.clamp(min=1) - 1 / samples)
    shrinkage = (1 - noise / lengths.clamp(min=torch.finfo(lengths.dtype).tiny)).clamp(min=0)
    weight = shrinkage[..., None] * means / variance
    bias = -(weight * middle).sum(dim=2) - shrinkage.square() * lengths / 2
    return torch.cat([weight, bias[..., None]], dim=2)


def _mean_squares(tasks: Tasks, middle: Tensor) -> Tensor:
    """Return the mean square of each unit around its mean, over the examples of the fit, `(tasks, features)`."""
    points, total = tasks.points, torch.zeros_like(middle)
    for rows in row_blocks(len(points), points.shape[1], points.device):
        total += tasks.weights[:, 0, rows] @ points[rows].square()
    return (total - middle.square()).clamp(min=0)
