"""Multinomial logistic regression, with a penalty on squared weights that falls step by step."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.label_scores import Candidate, Scores, linear_scores, of_judges
from infoplane.estimators.principal_axes import Coordinates
from infoplane.estimators.softmax_fits import softmax_fits

PENALTIES = (1.0, 0.1, 0.01, 0.001)  # on squared weights, relative to the mean loss, for standardised features


class SoftmaxRegression:
    """The fits of this family, one candidate for each penalty."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks, self._coordinates = tasks, Coordinates.of(tasks.points, len(tasks) * tasks.classes)
        start = tasks.points.new_zeros(len(tasks), tasks.classes, self._coordinates.points.shape[1] + 1)
        self._found = [start]  # then the parameters found at each penalty

    @property
    def parameters(self) -> Tensor:
        """The last parameters, `(tasks, classes, features + 1)`, the bias last."""
        return self._coordinates.outward(self._found[-1])

    def advance(self, going: Tensor) -> Tensor:
        """Fit at the next penalty, from the weights of the last."""
        tasks = self._tasks.some(going)
        penalties = tasks.points.new_full((len(going),), PENALTIES[len(self._found) - 1])
        found, scores = softmax_fits(self._coordinates, tasks, penalties, self._found[-1][going])
        self._found.append(self._found[-1].index_copy(0, going, found))
        return of_judges(tasks, scores)

    def refitted(self, chosen: Tensor, steps: Sequence[int]) -> list[Scores]:
        """Fit at the chosen penalties, from the weights found there."""
        start = torch.stack([self._found[step + 1][task] for task, step in zip(chosen.tolist(), steps, strict=True)])
        penalties = start.new_tensor([PENALTIES[step] for step in steps])
        found, _ = softmax_fits(self._coordinates, self._tasks.some(chosen).on_all(), penalties, start)
        return linear_scores(self._coordinates.outward(found))


def softmax_regression(
    activations: Tensor, labels: Tensor, log_prior: Tensor, generator: torch.Generator
) -> Iterator[Candidate]:
    """Yield the candidates of one task: a fit to standardised activations, `(samples, features)`, at each penalty."""

    def fits_of(points: Tensor, of: Tensor) -> SoftmaxRegression:
        everything = torch.ones(1, len(of), dtype=torch.bool, device=points.device)
        return SoftmaxRegression(
            Tasks(
                points=points,
                labels=of[None],
                fitting=everything,
                judging=~everything,
                log_prior=log_prior[None],
                generators=[generator],
            )
        )

    fits, only = fits_of(activations, labels), torch.zeros(1, dtype=torch.long, device=activations.device)

    def refit(points: Tensor, of: Tensor, step: int) -> Scores:
        again = fits_of(points, of)
        for _ in range(step + 1):
            again.advance(only)
        return again.refitted(only, [step])[0]

    for step in range(len(PENALTIES)):
        fits.advance(only)
        yield Candidate(linear_scores(fits.parameters)[0], partial(refit, step=step))
