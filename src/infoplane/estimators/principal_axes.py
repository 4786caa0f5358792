"""Coordinates in which linear fits take few and short steps: principal axes of the examples, or those of their span."""

from dataclasses import dataclass

import torch
from torch import Tensor

_FEW = 1024  # with at most this many samples or features, all axes are computed
_LEADING = 64  # axes that are computed otherwise
_OVERSAMPLED = 8  # further directions while the leading ones are searched
_PASSES = 3  # of subspace iteration
_FLAT = 1e-6  # of the largest variance; along axes of less, no weight changes a score
_STEPS = 40  # products with the examples and back that a set of fits takes at least
_JITTERS = (1e-5, 1e-4)  # of the mean squared length of an example: above the rounding errors of float32 products


@dataclass(frozen=True)
class Coordinates:
    """The examples, and how strongly they vary along which axes.

    Weights of the smallest penalised loss lie in the span of the examples, and coordinates along orthonormal axes keep
    the length of weights. So the fit in coordinates gives the same scores, but for a small term in the span of many
    samples (`_of_span`).
    """

    points: Tensor  # (samples, dimensions)
    # (features, dimensions), orthonormal; None: the coordinates are the features, or those of the span
    axes: Tensor | None
    leading: (
        Tensor | None
    )  # (dimensions, k), orthonormal directions of large variance; None: the coordinates themselves
    variances: Tensor  # (k,) along them
    rest: float  # variance along all other directions
    spanned_by: Tensor | None = None  # (samples, features) the examples, of whose span these are coordinates

    @classmethod
    def of(cls, points: Tensor, weights: int = 1) -> "Coordinates":
        """Choose coordinates for centred examples.

        Args:
            points: `(samples, features)` float32.
            weights: how many vectors of weights are fitted together, one for each class of each task.
        """
        samples, features = points.shape
        if min(samples, features) > _FEW:
            # The span costs one product of the examples with each other, and makes all later products shorter.
            pays = samples * features < 2 * _STEPS * weights * (features - samples)
            within = _of_span(points) if pays else None
            own = points if within is None else within
            # Their only use is to make fits faster, so the draws are always the same.
            leading, variances = leading_directions(own, _LEADING, torch.Generator().manual_seed(0))
            return cls(own, None, leading, variances, float(variances[-1]), None if within is None else points)
        by_rows = samples <= features
        products = points @ points.T if by_rows else points.T @ points
        squares, axes = torch.linalg.eigh(products.double())
        kept = squares > _FLAT * squares[-1:].clamp(min=torch.finfo(torch.double).tiny)
        squares, axes = squares[kept], axes[:, kept].float()
        if by_rows:  # from axes in the space of the samples to those in the space of the features
            axes = points.T @ (axes / squares.sqrt().float())
        return cls(points @ axes, axes, None, (squares / samples).float(), 0.0)

    def outward(self, parameters: Tensor) -> Tensor:
        """Return weights of the features from those of coordinates; the last column is a bias and stays."""
        weights, bias = parameters[..., :-1], parameters[..., -1:]
        if self.spanned_by is not None:
            upper = self.points.double().T  # scores L u are those of weights X' z, where L' z = u
            shares = torch.linalg.solve_triangular(upper, weights.flatten(end_dim=-2).double().T, upper=True)
            weights = (shares.T.float() @ self.spanned_by).view(*weights.shape[:-1], -1)
        elif self.axes is not None:
            weights = weights @ self.axes.T
        return torch.cat([weights, bias], dim=-1)

    def scaled(self, gradient: Tensor, penalties: Tensor) -> Tensor:
        """Divide a gradient by a rough second derivative, which is the same for all classes.

        For equally likely classes it is (1 - 1/K) / K times the variance, plus the penalty.

        Args:
            gradient: `(tasks, classes, dimensions + 1)`, the bias last.
            penalties: `(tasks,)`.
        """
        classes = gradient.shape[1]
        spread = max(1, classes - 1) / classes**2
        weights, bias = gradient[..., :-1], gradient[..., -1:]
        along = 1 / (spread * self.variances + penalties[:, None, None])
        if self.leading is None:
            return torch.cat([weights * along, bias / spread], dim=-1)
        elsewhere = 1 / (spread * self.rest + penalties[:, None, None])
        changed = weights * elsewhere + ((weights @ self.leading) * (along - elsewhere)) @ self.leading.T
        return torch.cat([changed, bias / spread], dim=-1)


def _of_span(points: Tensor) -> Tensor | None:
    """Return coordinates of the examples along an orthonormal basis of their span, `(samples, samples)`.

    They are the lower triangle L of points @ points.T = L @ L.T. A small term on the diagonal covers rounding errors.
    It acts like one more unit for each example, which no other example has, with a hundred-thousandth of its squared
    length. None if ten times as much does not make the products positive definite.
    """
    products = (points @ points.T).double()
    squared = products.diagonal().clone()
    for jitter in _JITTERS:
        products.diagonal().copy_(squared + jitter * squared.mean())
        lower, failed = torch.linalg.cholesky_ex(products)
        if not failed:
            found: Tensor = lower.float()
            return found
    return None


def leading_directions(points: Tensor, number: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return orthonormal directions of about the largest variance, and the variances along them, the largest first.

    Args:
        points: `(samples, features)`, of mean 0.
        number: of directions; fewer if there are fewer samples or features.
        generator: source of the start.

    Returns:
        `(features, directions)` and `(directions,)`.

    Source: Halko, Martinsson & Tropp (2011), SIAM Review 53(2), 217, Algorithms 4.4 and 5.1.
    """
    searched = min(number + _OVERSAMPLED, *points.shape)
    basis = torch.randn(points.shape[1], searched, generator=generator, device=generator.device).to(points)
    for _ in range(_PASSES):
        basis, _ = torch.linalg.qr(points.T @ (points @ basis))
    _, spreads, within = torch.linalg.svd(points @ basis, full_matrices=False)
    directions: Tensor = basis @ within[:number].T
    return directions, spreads[:number].square() / len(points)
