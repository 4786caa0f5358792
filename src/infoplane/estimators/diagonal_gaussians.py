"""Log ratios and divergences of all pairs of Gaussians with diagonal covariances, in blocks."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from infoplane.estimators import row_products
from infoplane.estimators.noisy_mixture import LARGEST_EXPONENT
from infoplane.estimators.pairwise import TOLERANCE
from infoplane.estimators.row_products import ROUNDING

BLOCK_BYTES = 64 * 2**20  # size of one float64 matrix of a block of Gaussians and all Gaussians
BLOCK = 512  # Gaussians at a time
FEATURES = 512  # features at a time, so that wide layers need no second copy
PAIR_NUMBERS = 2**20  # numbers of pairs that are computed from differences, at a time
TILE = 256  # a tile of this many pairs of Gaussians, each way, stays in a CPU's cache
# Float32 is precise enough for Bhattacharyya distances if no mean lies further from the centre, in standard deviations:
# rounding then moves a distance that matters, one below 40, by at most about 3e-4 nats.
FARTHEST_FLOAT32 = 1e3
_LARGEST_LOG = {torch.float: 80.0, torch.double: 700.0}  # of a product of numbers, which must not overflow
_MOST_FACTORS = 8  # of such a product


class LogRatios(NamedTuple):
    """Log ratios of a block of Gaussians i to all Gaussians j, float64 `(rows, samples)`, 0 where i is j.

    Attributes:
        drawn: ln p_j(t_i) - ln p_i(t_i), with t_i drawn from p_i.
        expected: its expectation over t_i, -KL(p_i || p_j).
    """

    drawn: Tensor
    expected: Tensor


def log_ratios(means: Tensor, variances: Tensor, generator: torch.Generator) -> Iterator[tuple[slice, LogRatios]]:
    """Draw once from each Gaussian, and yield the log ratios of the others' densities to its own.

    The sums over features are float64 products of matrices, which subtract large numbers if variances are small. Their
    rounding errors are bounded from the numbers themselves. Pairs that rounding could change by more than `TOLERANCE`,
    and that are near enough to matter, are computed again from differences.

    Args:
        means: `(samples, features)`, of any float type.
        variances: `(samples, features)`, positive.
        generator: source of the draws.

    Yields:
        Some rows, and their log ratios to all samples, until all rows are done.
    """
    centre = means.mean(dim=0, dtype=torch.double)
    for rows in _row_blocks(len(means)):
        own_means, own = means[rows].double() - centre, variances[rows].double()
        noise = torch.randn(own.shape, dtype=torch.double, generator=generator, device=generator.device)
        noise = noise.to(means.device)
        logs = own.log().sum(dim=1)
        centres = (own_means + own.sqrt() * noise, own_means)  # of the draw, and of what it is drawn from
        spreads = (torch.zeros_like(own), own)
        constants = ((noise.square().sum(dim=1) + logs) / 2, (own.shape[1] + logs) / 2)
        yield (
            rows,
            LogRatios(
                *(
                    _Block(rows, *block).ratios(means, variances, centre)
                    for block in zip(centres, spreads, constants, strict=True)
                )
            ),
        )


class _Block(NamedTuple):
    """Distributions around points: the expected log density under each Gaussian, less that under their own."""

    rows: slice
    points: Tensor  # (rows, features), less the common centre
    spreads: Tensor  # (rows, features) variances around the points, may be 0
    constants: Tensor  # (rows,) minus the expected log density under their own Gaussian, less features ln(2 pi) / 2

    def ratios(self, means: Tensor, variances: Tensor, centre: Tensor) -> Tensor:
        """Return the expected log ratios to all Gaussians, `(rows, samples)`."""
        squares = torch.zeros(len(self.points), len(means), dtype=torch.double, device=means.device)
        products = torch.zeros_like(squares)
        others, sizes = squares.new_zeros(2, len(means))
        for start in range(0, means.shape[1], FEATURES):
            part = slice(start, start + FEATURES)
            other_means, other = means[:, part].double() - centre[part], variances[:, part].double()
            points = self.points[:, part]
            squares.addmm_(points.square() + self.spreads[:, part], other.reciprocal().T)
            products.addmm_(points, (other_means / other).T)
            own_squares, logs = (other_means.square() / other).sum(dim=1), other.log()
            others += own_squares + logs.sum(dim=1)
            sizes += own_squares + logs.abs().sum(dim=1)
        errors = (squares + sizes).mul_(ROUNDING * 2.0**-53)
        ratios = products.sub_(squares.add_(others).div_(2)).add_(self.constants[:, None])
        # Written so that NaN and infinities, from variances near the smallest numbers, are computed again too.
        doubtful = ~(errors <= TOLERANCE) & ~(ratios + errors < -LARGEST_EXPONENT)
        places = torch.arange(len(ratios), device=ratios.device)
        doubtful[places, places + self.rows.start] = False
        if doubtful.any():
            self._from_differences(ratios, doubtful.nonzero(), means, variances, centre)
        ratios[places, places + self.rows.start] = 0.0
        return ratios

    def _from_differences(
        self, ratios: Tensor, pairs: Tensor, means: Tensor, variances: Tensor, centre: Tensor
    ) -> None:
        """Compute the log ratios of some pairs, `(pairs, 2)`, again."""
        step = max(1, PAIR_NUMBERS // means.shape[1])
        for start in range(0, len(pairs), step):
            own, other = pairs[start : start + step].unbind(dim=1)
            spread = variances[other].double()
            squares = (self.points[own] - (means[other].double() - centre)).square() + self.spreads[own]
            ratios[own, other] = self.constants[own] - (squares / spread + spread.log()).sum(dim=1) / 2


def bhattacharyya_distances(means: Tensor, variances: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield some rows, and the Bhattacharyya distances of these Gaussians to all, float64 `(rows, samples)`.

    -ln of the integral of sqrt(p_i p_j) is sum_d (m_id - m_jd)^2 / (4 s_d) + ln(s_d / 2) / 2 - ln(v_id v_jd) / 4 with
    s_d = v_id + v_jd. No product of matrices gives these sums, so the time grows as samples^2 features, with a larger
    factor. Distances of up to about 8,000 samples are kept, and each is then computed once.

    Args:
        means: `(samples, features)`, of any float type.
        variances: `(samples, features)`, positive.
    """
    samples = len(means)
    kept = None
    if 4 * samples**2 <= row_products.STORAGE_BYTES:
        kept = torch.empty(samples, samples, device=means.device)
    scaled = _Scaled.of(means, variances)
    for rows in _row_blocks(samples):
        first = 0 if kept is None else rows.start
        fresh = scaled.distances(rows, slice(first, samples))
        places = torch.arange(rows.stop - rows.start, device=fresh.device)
        fresh[places, places + rows.start - first] = 0.0
        if kept is None:
            yield rows, fresh
            continue
        kept[rows, first:], kept[first:, rows] = fresh.float(), fresh.T.float()
        yield rows, kept[rows].double()


class _Scaled(NamedTuple):
    """Gaussians scaled so that each unit's variances have the geometric mean 1, which changes no distance."""

    means: Tensor
    variances: Tensor
    centre: Tensor  # (features,)
    scales: Tensor  # (features,) geometric means of the variances
    dtype: torch.dtype  # in which distances are precise enough
    factors: int  # variances that can be multiplied without overflow

    @classmethod
    def of(cls, means: Tensor, variances: Tensor) -> "_Scaled":
        centre = means.mean(dim=0, dtype=torch.double)
        logs = variances.double().log()
        scales = logs.mean(dim=0).exp()
        widest = (logs - logs.mean(dim=0)).abs().max().item() + math.log(2)
        nearest = logs.amin(dim=0).mul(0.5).exp()  # standard deviation
        farthest = ((means.double() - centre).abs().amax(dim=0) / nearest).max().item()
        dtype = torch.float if farthest <= FARTHEST_FLOAT32 and widest <= _LARGEST_LOG[torch.float] else torch.double
        factors = max(1, min(_MOST_FACTORS, int(_LARGEST_LOG[dtype] / widest)))
        return cls(means, variances, centre, scales, dtype, factors)

    def distances(self, rows: slice, columns: slice) -> Tensor:
        """Return the distances of some Gaussians to others, `(rows, columns)` float64."""
        found = torch.zeros(
            rows.stop - rows.start, columns.stop - columns.start, dtype=torch.double, device=self.means.device
        )
        features = self.means.shape[1]
        for start in range(0, features, FEATURES):
            part = slice(start, start + FEATURES)
            own, other = self._part(rows, part), self._part(columns, part)
            for across in range(0, found.shape[0], TILE):
                for along in range(0, found.shape[1], TILE):
                    tile = found[across : across + TILE, along : along + TILE]
                    _add_distances(
                        tile,
                        [one[:, across : across + TILE] for one in own],
                        [one[:, along : along + TILE] for one in other],
                        self.factors,
                    )
        return found

    def _part(self, rows: slice, part: slice) -> list[Tensor]:
        """Return means and variances of some Gaussians, each `(features, rows)`."""
        scales = self.scales[part]
        means = (self.means[rows, part].double() - self.centre[part]) / scales.sqrt()
        variances = self.variances[rows, part].double() / scales
        return [one.T.to(self.dtype).contiguous() for one in (means, variances)]


def _add_distances(tile: Tensor, own: list[Tensor], other: list[Tensor], factors: int) -> None:
    """Add the distances that some features give to a tile, `(rows, columns)`; `own` and `other` are `(features, n)`."""
    (own_means, own_variances), (other_means, other_variances) = own, other
    squares = own_means.new_zeros(tile.shape)
    sums, differences, product = torch.empty_like(squares), torch.empty_like(squares), torch.ones_like(squares)
    logs = torch.zeros_like(squares)
    last = len(own_means) - 1
    for place in range(len(own_means)):
        torch.add(own_variances[place, :, None], other_variances[place], out=sums)
        torch.sub(own_means[place, :, None], other_means[place], out=differences)
        squares.addcdiv_(differences.square_(), sums)
        product.mul_(sums)
        if place == last or place % factors == factors - 1:  # a logarithm costs as much as several products
            logs += product.log_()
            product.fill_(1)
    own_logs, other_logs = (one.double().log().sum(dim=0) / 4 for one in (own_variances, other_variances))
    tile += squares.double() / 4 + (logs.double() - len(own_means) * math.log(2)) / 2
    tile -= own_logs[:, None] + other_logs


def _row_blocks(samples: int) -> Iterator[slice]:
    step = max(1, min(BLOCK, BLOCK_BYTES // (8 * samples)))
    return (slice(start, min(start + step, samples)) for start in range(0, samples, step))
