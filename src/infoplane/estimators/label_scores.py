"""Classifiers behind decoders: what a family of them is, and how a single one gives scores."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from infoplane.estimators.decoding_tasks import Tasks

Scores = Callable[[Tensor], Tensor]
"""From standardised activations, `(samples, features)`, to the log of each class's evidence over its prior."""


class Fits(Protocol):
    """The fits of one family to several tasks, the stiffest candidate first."""

    def advance(self, going: Tensor) -> Tensor:
        """Fit the next candidate of some tasks, by their indices.

        Returns:
            `(tasks, classes, most)` scores of the examples that judge, in the order of `Tasks.judges`.
        """

    def refitted(self, chosen: Tensor, steps: Sequence[int]) -> list[Scores]:
        """Fit candidates again, to all examples of some tasks, given the number of the step of each, from 0."""


class Family(NamedTuple):
    """Classifiers in order of flexibility, the stiffest first. Each fit starts from the one before."""

    begin: Callable[[Tasks], Fits]
    steps: int
    patience: int  # after this many steps without progress on other examples, the rest is not tried


@dataclass(frozen=True)
class Linear:
    """Scores `activations @ weight.T + bias`."""

    weight: Tensor  # (classes, features)
    bias: Tensor  # (classes,)

    def __call__(self, activations: Tensor) -> Tensor:
        # Transposed, since the product is then twice as fast on a CPU.
        return (self.weight @ activations.T).T + self.bias


class Candidate(NamedTuple):
    """A classifier fitted to some of the examples of one task, and a function that fits it again to all of them."""

    scores: Scores
    refit: Callable[[Tensor, Tensor], Scores]  # from standardised activations and labels


OneFit = Callable[[Tensor, Tensor, Tensor, torch.Generator], Iterator[Candidate]]
"""From standardised activations, labels 0 to K - 1, log prior `(K,)` and a generator to candidates."""


class OneByOne:
    """The fits of a family that fits one task at a time."""

    def __init__(self, fit: OneFit, tasks: Tasks) -> None:
        self._tasks = tasks
        self._candidates = [self._begun(fit, task) for task in range(len(tasks))]
        self._found: list[list[Candidate]] = [[] for _ in range(len(tasks))]

    def _begun(self, fit: OneFit, task: int) -> Iterator[Candidate]:
        points, labels = self._examples(task, self._tasks.fitting[task])
        yield from fit(points, labels, self._tasks.log_prior[task], self._tasks.generators[task])

    def _examples(self, task: int, among: Tensor) -> tuple[Tensor, Tensor]:
        rows = among.nonzero().squeeze(1)
        return self._tasks.points[rows], self._tasks.labels[task, rows]

    def advance(self, going: Tensor) -> Tensor:
        """Fit the next candidate of each task in turn."""
        judges, _ = self._tasks.judges
        scores = []
        for task in going.tolist():
            self._found[task].append(next(self._candidates[task]))
            scores.append(self._found[task][-1].scores(self._tasks.points[judges[task]]).T)
        return torch.stack(scores)

    def refitted(self, chosen: Tensor, steps: Sequence[int]) -> list[Scores]:
        """Fit each candidate again in turn."""
        everything = self._tasks.fitting | self._tasks.judging
        return [
            self._found[task][step].refit(*self._examples(task, everything[task]))
            for task, step in zip(chosen.tolist(), steps, strict=True)
        ]


def of_judges(tasks: Tasks, scores: Tensor) -> Tensor:
    """Return the scores of the examples that judge, `(tasks, classes, most)`, from those of all examples."""
    judges, _ = tasks.judges
    return scores.gather(2, judges[:, None].expand(-1, tasks.classes, -1))


def linear_scores(parameters: Tensor) -> list[Scores]:
    """Return the scores of each task from its parameters, `(tasks, classes, features + 1)`, the bias last."""
    return [Linear(own[:, :-1].contiguous(), own[:, -1].contiguous()) for own in parameters]
