"""Multinomial logistic regression, with a penalty on squared weights that falls step by step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.label_scores import Scores, linear_scores, of_judges
from infoplane.estimators.linear_designs import design_of
from infoplane.estimators.softmax_fits import softmax_fits

PENALTIES = (1.0, 0.1, 0.01, 0.001)  # on squared weights, relative to the mean loss, for standardised features


class SoftmaxRegression:
    """The fits of this family, one candidate for each penalty."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks, self._design = tasks, design_of(tasks)
        start = tasks.points.new_zeros(len(tasks), tasks.classes, self._design.dimensions + 1)
        self._found = [start]  # then the parameters found at each penalty

    def advance(self, going: Tensor) -> Tensor:
        """Fit at the next penalty, from the weights of the last."""
        tasks, design = self._tasks.some(going), self._design.some(going)
        penalties = tasks.shift.new_full((len(going),), PENALTIES[len(self._found) - 1])
        found, scores = softmax_fits(design, tasks, penalties, self._found[-1][going])
        self._found.append(self._found[-1].index_copy(0, going, found))
        return of_judges(tasks, scores)

    def refitted(self, chosen: Tensor, steps: Sequence[int]) -> list[Scores]:
        """Fit at the chosen penalties, from the weights found there."""
        tasks, design = self._tasks.some(chosen).on_all(), self._design.some(chosen)
        start = torch.stack([self._found[step + 1][task] for task, step in zip(chosen.tolist(), steps, strict=True)])
        whole = design.widened(tasks)
        start = whole.inward(design.outward(start))
        found, _ = softmax_fits(whole, tasks, start.new_tensor([PENALTIES[step] for step in steps]), start)
        return linear_scores(whole.outward(found))
