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
_MEMORY = 10  # pairs of steps and changes of the gradient
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
    for _ in range(_ITERATIONS):
        converged = fit.advance()
        parameters[left[going]], scores[left[going]] = fit.parameters[going], fit.scores[going]
        going = going & ~converged
        if not going.any():
            break
        if going.sum() <= len(left) / 2:  # else leaving tasks out would cost more than it saves
            left, fit = left[going], fit.some(going.nonzero().squeeze(1))
            going = going[going]
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
        uphill = _sums(self.gradient * direction) >= 0
        direction = torch.where(uphill, -self.gradient, direction)
        change = products(self.coordinates, direction)
        line = self._line_search(direction, change)
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

    def _line_search(self, direction: Tensor, change: Tensor) -> "_Point":
        """Find how far to go: at once if the slope there is small, else by Newton steps and halves of an interval."""
        tasks, own = self.tasks, _sums(self.tasks.members * change)
        linear, square = _sums(self.ridge * self.parameters * direction), _sums(self.ridge * direction.square())
        prior_scores = self.scores + tasks.log_prior[..., None]
        ridge_loss = _sums(self.ridge * self.parameters.square()) / 2

        def at(length: Tensor) -> _Point:
            log_p = (prior_scores + length * change).log_softmax(dim=1)
            p = log_p.exp()
            mean = (p * change).sum(dim=1, keepdim=True)
            spread = (p * change.square()).sum(dim=1, keepdim=True) - mean.square()
            ridge = ridge_loss + length * (linear + length * square / 2)
            return _Point(
                length=length,
                losses=ridge - _sums(tasks.members * log_p),
                slope=_sums(tasks.weights * mean) - own + linear + length * square,
                curvature=(_sums(tasks.weights * spread) + square).clamp(min=1e-30),
                residuals=p * tasks.weights - tasks.members,
            )

        start = at(torch.zeros_like(self.losses))
        # Without a pair the scale of the direction is unknown, and the first length is Newton's.
        first = torch.ones_like(self.losses) if self.pairs else -start.slope / start.curvature
        low, high = torch.zeros_like(first), torch.full_like(first, torch.inf)
        point = at(first)
        for _ in range(_TRIES):
            good = (point.slope.abs() <= _FLAT * start.slope.abs()) & (point.losses <= start.losses)
            if good.all():
                return point
            below = point.slope < 0
            low, high = torch.where(below, point.length, low), torch.where(below, high, point.length)
            newton = point.length - point.slope / point.curvature
            halves = torch.where(high.isinf(), 2 * point.length, (low + high) / 2)
            inside = (newton > low) & (newton < high)
            point = at(torch.where(good, point.length, torch.where(inside, newton, halves)))
        # Rounding hides what is left to gain.
        return at(torch.where(point.losses <= start.losses, point.length, 0.0))


class _Point(NamedTuple):
    """The loss of each task at some length along its direction; all but the residuals are `(tasks, 1, 1)`."""

    length: Tensor
    losses: Tensor
    slope: Tensor
    curvature: Tensor
    residuals: Tensor  # gradient of the loss by the scores, `(tasks, classes, samples)`


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
