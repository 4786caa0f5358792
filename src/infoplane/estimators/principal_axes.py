"""Coordinates in which linear fits converge in a few steps: principal axes of the examples."""

from dataclasses import dataclass

import torch
from torch import Tensor

_FEW = 1024  # with at most this many samples or features, all axes are computed
_LEADING = 64  # axes that are computed otherwise
_PASSES = 2  # of subspace iteration
_FLAT = 1e-6  # of the largest variance; along axes of less, no weight changes a score


@dataclass(frozen=True)
class Coordinates:
    """The examples, and how strongly they vary along which axes.

    Weights of the smallest penalised loss lie in the span of the examples, and coordinates along orthonormal axes keep
    the length of weights. So the fit in coordinates gives the same scores, and there are never more coordinates than
    samples or features.
    """

    points: Tensor  # (samples, dimensions)
    axes: Tensor | None  # (features, dimensions), orthonormal; None: the coordinates are the features
    leading: (
        Tensor | None
    )  # (dimensions, k), orthonormal directions of large variance; None: the coordinates themselves
    variances: Tensor  # (k,) along them
    rest: float  # variance along all other directions

    @classmethod
    def of(cls, points: Tensor) -> "Coordinates":
        """Choose coordinates for centred examples, `(samples, features)` float32."""
        samples, features = points.shape
        if min(samples, features) > _FEW:
            leading, variances = _leading(points)
            return cls(points, None, leading, variances, float(variances[-1]))
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
        if self.axes is None:
            return parameters
        return torch.cat([parameters[..., :-1] @ self.axes.T, parameters[..., -1:]], dim=-1)

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


def _leading(points: Tensor) -> tuple[Tensor, Tensor]:
    """Return directions of the largest variance, `(features, k)` orthonormal, and the variances, descending.

    Source: Halko, Martinsson & Tropp (2011), SIAM Review 53(2), 217, Algorithms 4.4 and 5.1.
    """
    # Their only use is to make fits faster, so the draws are always the same.
    draws = torch.Generator().manual_seed(0)
    basis = torch.randn(points.shape[1], _LEADING, generator=draws).to(points.device)
    for _ in range(_PASSES):
        basis, _ = torch.linalg.qr(points.T @ (points @ basis))
    _, spreads, within = torch.linalg.svd(points @ basis, full_matrices=False)
    return basis @ within.T, spreads.square() / len(points)
