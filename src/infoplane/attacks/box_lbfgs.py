"""L-BFGS in the box [0, 1] for many images at once, each with its own function, history and line search."""

from collections.abc import Callable

import torch
from torch import Tensor

from infoplane.attacks.closest import per_image

HISTORY = 10  # pairs of steps and changes of the gradient
_DECREASE = 1e-4  # share of the predicted decrease that a step must reach (Armijo)
_BACKTRACK = 0.25
_SHORTEST = 1e-3  # share of a step; a shorter one means that rounding hides any decrease
_FIRST_STEP = 0.5  # Euclidean length of the first step

# From points and their places in the batch to values, `(batch,)`, and gradients.
ValueAndGradient = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def minimise_in_box(function: ValueAndGradient, start: Tensor, *, evaluations: int) -> Tensor:
    """Return for each image the point with the lowest value that projected L-BFGS finds.

    Pixels of 0 or 1 whose gradient leads out of the box are held (two-metric projection; Bertsekas, 1982, SIAM J.
    Control Optim. 20(2), 221-246); the others follow the direction of L-BFGS (Nocedal & Wright, 2006, Algorithm 7.4),
    projected, with backtracking. In each round every image takes one evaluation: of its next step, or of a shorter one.

    Args:
        function: differentiable in the box.
        start: `(batch, channels, height, width)` in [0, 1].
        evaluations: largest number of evaluations per image.
    """
    places = torch.arange(len(start), device=start.device)
    best = start.clone()
    points = start
    values, gradients = function(points, places)
    memory = _Memory()
    directions = _descent(points, gradients, memory)
    shares = torch.ones_like(values)
    for _ in range(evaluations - 1):
        trials = (points + per_image(shares) * directions).clamp_(0, 1)
        moved = trials - points
        found, slopes = function(trials, places)
        accepted = found <= values + _DECREASE * dots(gradients, moved)
        accepted &= moved.flatten(start_dim=1).any(dim=1)
        memory.add(moved, slopes - gradients, accepted)
        here = per_image(accepted)
        points, gradients = torch.where(here, trials, points), torch.where(here, slopes, gradients)
        values = torch.where(accepted, found, values)
        best[places] = points
        directions = torch.where(here, _descent(points, gradients, memory), directions)
        shares = torch.where(accepted, 1.0, shares * _BACKTRACK)
        left = (shares >= _SHORTEST).nonzero().squeeze(1)
        if not len(left):
            break
        if len(left) < len(places):
            points, gradients, directions = points[left], gradients[left], directions[left]
            places, values, shares = places[left], values[left], shares[left]
            memory.keep(left)
    return best


class _Memory:
    """The last steps and changes of the gradient, from which the inverse Hessian is estimated."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []
        self.changes: list[Tensor] = []
        self.inverse_curvatures: list[Tensor] = []  # 0: of no use for this image
        self.scale: Tensor | None = None

    def add(self, step: Tensor, change: Tensor, usable: Tensor) -> None:
        curvature = dots(step, change)
        usable = usable & (curvature > 1e-8 * dots(step, step).sqrt() * dots(change, change).sqrt())
        inverse = torch.where(usable, 1 / curvature, 0.0)
        scale = torch.where(usable, curvature / dots(change, change), 0.0)
        self.scale = scale if self.scale is None else torch.where(usable, scale, self.scale)
        for kept, new in ((self.steps, step), (self.changes, change), (self.inverse_curvatures, inverse)):
            kept.append(new)
            del kept[:-HISTORY]

    def keep(self, places: Tensor) -> None:
        for kept in (self.steps, self.changes, self.inverse_curvatures):
            kept[:] = [one[places] for one in kept]
        if self.scale is not None:
            self.scale = self.scale[places]

    def newton(self, gradients: Tensor) -> Tensor:
        """Return the product of the estimated inverse Hessian and the gradients."""
        product, weights = gradients, []
        pairs = list(zip(self.steps, self.changes, self.inverse_curvatures, strict=True))
        for step, change, inverse in reversed(pairs):
            weights.append(inverse * dots(step, product))
            product = product - per_image(weights[-1]) * change
        first = _FIRST_STEP / dots(gradients, gradients).sqrt().clamp(min=1e-30)
        scale = first if self.scale is None else torch.where(self.scale > 0, self.scale, first)
        product = product * per_image(scale)
        for (step, change, inverse), weight in zip(pairs, reversed(weights), strict=True):
            product = product + per_image(weight - inverse * dots(change, product)) * step
        return product


def _descent(points: Tensor, gradients: Tensor, memory: _Memory) -> Tensor:
    """Return the direction of the next step, zero where a pixel is held at its bound."""
    held = ((points <= 0) & (gradients > 0)) | ((points >= 1) & (gradients < 0))
    free = gradients.masked_fill(held, 0.0)
    direction = -memory.newton(free).masked_fill(held, 0.0)
    downhill = dots(direction, free) < 0
    steepest = -free * per_image(_FIRST_STEP / dots(free, free).sqrt().clamp(min=1e-30))
    return torch.where(per_image(downhill), direction, steepest)


def dots(first: Tensor, second: Tensor) -> Tensor:
    """Return the scalar product of each image's tensors, `(batch,)`."""
    return (first * second).flatten(start_dim=1).sum(dim=1)
