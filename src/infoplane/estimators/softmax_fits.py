"""Penalised softmax regressions of many tasks at once, by L-BFGS with a line search that needs no further products.

Scores are linear in the weights. Along a direction they change by a multiple of one product, so the loss at any step
length is found from the scores alone. An iteration costs two products with the examples, for all tasks together. Few
iterations are needed, since the first guess of the second derivative knows along which axes the examples vary.

Source: Nocedal & Wright (2006), Numerical Optimization, 2nd ed., Algorithms 7.4 (two loops) and 3.5 (line search).
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators.decoding_tasks import Tasks
from infoplane.estimators.principal_axes import Coordinates

_ITERATIONS = 30
_LEAST_DECREASE = 1e-5  # of the loss in one iteration, relative to the loss where that is above 1 nat
_LEAST_GRADIENT = 1e-5
_MEMORY = 4  # pairs of steps and changes of the gradient; with 10, fits take as many iterations
_TRIES = 10  # step lengths of one line search
_FLAT = 0.3  # of the slope at the start: a smaller slope ends the line search


def softmax_fits(coordinates: Coordinates, tasks: Tasks, penalties: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
    """Minimise the mean cross-entropy of each task plus half the penalty times the sum of squared weights.

    Args:
        coordinates: of the examples.
        tasks: labels and examples of the fits.
        penalties: `(tasks,)`.
        start: `(tasks, classes, dimensions + 1)` parameters near the minimum, the bias last.

    Returns:
        Parameters like `start`, and the scores of all examples, `(tasks, classes, samples)`.
    """
    parameters, scores = start.clone(), products(coordinates, start)
    left = torch.arange(len(tasks), device=start.device)  # tasks that have not converged
    fit = _Fit.at(coordinates, tasks, penalties, parameters, scores)
    going = torch.ones_like(left, dtype=torch.bool)

    def keep(found: Tensor) -> None:
        parameters[left[found]], scores[left[found]] = fit.parameters[found], fit.scores[found]

    for _ in range(_ITERATIONS):
        converged = fit.advance()
        if (going & converged).any():
            keep(going & converged)
        going = going & ~converged
        if not going.any():
            break
        if going.sum() <= len(left) / 2:  # else leaving tasks out would cost more than it saves
            left, fit = left[going], fit.some(going.nonzero().squeeze(1))
            going = going[going]
    else:
        keep(going)
    return parameters, scores


class _Pair(NamedTuple):
    """One pair of L-BFGS: how far the parameters moved, how the gradient changed, and 1 / their product."""

    moved: Tensor
    changed: Tensor
    inverse: Tensor  # (tasks, 1, 1); 0 where the pair says nothing


@dataclass
class _Fit:
    """The state of the fits of some tasks."""

    coordinates: Coordinates
    tasks: Tasks
    penalties: Tensor  # (tasks,)
    ridge: Tensor  # (tasks, 1, dimensions + 1) penalty of each parameter: none of the bias
    parameters: Tensor
    scores: Tensor
    losses: Tensor  # (tasks, 1, 1)
    gradient: Tensor
    pairs: list[_Pair] = field(default_factory=list)

    @classmethod
    def at(
        cls, coordinates: Coordinates, tasks: Tasks, penalties: Tensor, parameters: Tensor, scores: Tensor
    ) -> "_Fit":
        ridge = penalties[:, None, None].repeat(1, 1, parameters.shape[2])
        ridge[..., -1] = 0
        log_p = (scores + tasks.log_prior[..., None]).log_softmax(dim=1)
        losses = _sums(ridge * parameters.square()) / 2 - _sums(tasks.members * log_p)
        gradient = _gradient(coordinates, log_p.exp() * tasks.weights - tasks.members) + ridge * parameters
        return cls(coordinates, tasks, penalties, ridge, parameters, scores, losses, gradient)

    def some(self, chosen: Tensor) -> "_Fit":
        """Keep some of the tasks only, by their indices."""
        names = ("penalties", "ridge", "parameters", "scores", "losses", "gradient")
        own = {name: getattr(self, name)[chosen] for name in names}
        pairs = [_Pair(*(part[chosen] for part in pair)) for pair in self.pairs]
        return _Fit(coordinates=self.coordinates, tasks=self.tasks.some(chosen), pairs=pairs, **own)

    def advance(self) -> Tensor:
        """Take one step, and return which tasks have converged, `(tasks,)`."""
        direction = self._direction()
        slope = _sums(self.gradient * direction)
        if (slope >= 0).any():
            direction = torch.where(slope >= 0, -self.gradient, direction)
            slope = _sums(self.gradient * direction)
        change = products(self.coordinates, direction)
        line = self._line_search(direction, change, slope)
        moved = line.length * direction
        self.parameters = self.parameters + moved
        self.scores = self.scores + line.length * change
        gradient = _gradient(self.coordinates, line.residuals) + self.ridge * self.parameters
        self._remember(moved, gradient - self.gradient)
        scale = torch.maximum(self.losses.abs(), line.losses.abs()).clamp(min=1)
        small = self.losses - line.losses <= _LEAST_DECREASE * scale
        self.gradient, self.losses = gradient, line.losses
        return (small.flatten()) | (gradient.abs().amax(dim=(1, 2)) <= _LEAST_GRADIENT)

    def _remember(self, moved: Tensor, changed: Tensor) -> None:
        product = _sums(moved * changed)
        inverse = torch.where(product > 1e-10 * _sums(changed * changed), 1 / product, 0.0)
        self.pairs = [*self.pairs, _Pair(moved, changed, inverse)][-_MEMORY:]

    def _direction(self) -> Tensor:
        direction = -self.gradient
        shares = []
        for pair in reversed(self.pairs):
            share = pair.inverse * _sums(pair.moved * direction)
            direction = direction - share * pair.changed
            shares.append(share)
        direction = self.coordinates.scaled(direction, self.penalties)
        if self.pairs:
            _, changed, inverse = self.pairs[-1]
            curvature = inverse * _sums(changed * self.coordinates.scaled(changed, self.penalties))
            direction = direction / torch.where(inverse > 0, curvature, 1.0)
        for pair, share in zip(self.pairs, reversed(shares), strict=True):
            direction = direction + pair.moved * (share - pair.inverse * _sums(pair.changed * direction))
        return direction

    def _line_search(self, direction: Tensor, change: Tensor, slope: Tensor) -> "_Step":
        """Find how far to go: at once if the slope there is small, else by Newton steps and halves of an interval."""
        line = self._line(direction, change)
        # Without a pair the scale of the direction is unknown, and the first length is Newton's.
        first = torch.ones_like(slope) if self.pairs else -slope / line.curvature(line.at(torch.zeros_like(slope)))
        low, high = torch.zeros_like(first), torch.full_like(first, torch.inf)
        point = line.at(first)
        for _ in range(_TRIES):
            good = (point.slope.abs() <= _FLAT * slope.abs()) & (point.losses <= self.losses)
            if good.all():
                break
            below = point.slope < 0
            low, high = torch.where(below, point.length, low), torch.where(below, high, point.length)
            newton = point.length - point.slope / line.curvature(point)
            halves = torch.where(high.isinf(), 2 * point.length, (low + high) / 2)
            inside = (newton > low) & (newton < high)
            point = line.at(torch.where(good, point.length, torch.where(inside, newton, halves)))
        else:  # rounding hides what is left to gain
            point = line.at(torch.where(point.losses <= self.losses, point.length, 0.0))
        return _Step(point.length, point.losses, point.p * self.tasks.weights - self.tasks.members)

    def _line(self, direction: Tensor, change: Tensor) -> "_Line":
        return _Line(
            tasks=self.tasks,
            own=self.tasks.labels[:, None],
            scores=self.scores + self.tasks.log_prior[..., None],
            change=change,
            ridge=_sums(self.ridge * self.parameters.square()) / 2,
            ridge_slope=_sums(self.ridge * self.parameters * direction),
            ridge_curvature=_sums(self.ridge * direction.square()),
            members_slope=_sums(self.tasks.members * change),
        )


class _Step(NamedTuple):
    """How far each task went, `(tasks, 1, 1)`, and where it is."""

    length: Tensor
    losses: Tensor  # (tasks, 1, 1)
    residuals: Tensor  # gradient of the loss by the scores, `(tasks, classes, samples)`


class _Point(NamedTuple):
    """The loss of each task at some length along its direction; all but the probabilities are `(tasks, 1, 1)`."""

    length: Tensor
    losses: Tensor
    slope: Tensor
    p: Tensor  # (tasks, classes, samples)
    mean: Tensor  # of the change of the scores over the classes, `(tasks, 1, samples)`


@dataclass
class _Line:
    """The loss along the directions of some tasks."""

    tasks: Tasks
    own: Tensor  # (tasks, 1, samples) labels
    scores: Tensor  # (tasks, classes, samples) at length 0, with the log prior
    change: Tensor  # of the scores per length
    ridge: Tensor  # penalty at length 0, and its derivatives: `(tasks, 1, 1)`
    ridge_slope: Tensor
    ridge_curvature: Tensor
    members_slope: Tensor

    def at(self, length: Tensor) -> _Point:
        log_p = torch.addcmul(self.scores, length, self.change).log_softmax(dim=1)
        cross_entropy = _sums(self.tasks.weights * log_p.gather(1, self.own))
        p = log_p.exp_()
        mean = (p * self.change).sum(dim=1, keepdim=True)
        return _Point(
            length=length,
            losses=self.ridge + length * (self.ridge_slope + length * self.ridge_curvature / 2) - cross_entropy,
            slope=_sums(self.tasks.weights * mean)
            - self.members_slope
            + self.ridge_slope
            + length * self.ridge_curvature,
            p=p,
            mean=mean,
        )

    def curvature(self, point: _Point) -> Tensor:
        spread = (point.p * self.change.square()).sum(dim=1, keepdim=True) - point.mean.square()
        return (_sums(self.tasks.weights * spread) + self.ridge_curvature).clamp(min=1e-30)


def _sums(terms: Tensor) -> Tensor:
    """Return the sum of each task's terms, `(tasks, 1, 1)`."""
    return terms.sum(dim=(1, 2), keepdim=True)


def products(coordinates: Coordinates, parameters: Tensor) -> Tensor:
    """Return scores `(tasks, classes, samples)` from parameters `(tasks, classes, dimensions + 1)`, the bias last."""
    # In this order the product is twice as fast on a CPU as its transpose.
    together = parameters[..., :-1].flatten(end_dim=1) @ coordinates.points.T
    return together.view(*parameters.shape[:2], -1) + parameters[..., -1:]


def _gradient(coordinates: Coordinates, residuals: Tensor) -> Tensor:
    """Return the gradient by the parameters from that by the scores, `(tasks, classes, samples)`."""
    together = (residuals.flatten(end_dim=1) @ coordinates.points).view(*residuals.shape[:2], -1)
    return torch.cat([together, residuals.sum(dim=2, keepdim=True)], dim=2)
