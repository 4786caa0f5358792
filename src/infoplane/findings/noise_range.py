"""A verdict on I(X;T) must hold over a range of noise, because the sign of a difference can change with the noise.

At the last epoch I(X;T) is measured at many noise variances. A share is the noise variance over the total variance of
the layer. The range reaches from a thousandth to a tenth (`SHARES`). Verdicts rest on the relative noise, whose share
depends on the number of examples (`estimators.resolved_noise_share`). Between measured shares, values are interpolated
along the logarithm of the share, so that layers of different width are compared at the same share. Shares at which a
layer is saturated, or that were not measured, are left out; a mean over layers says where fewer of them speak.

A verdict holds if it is the same at relative noise and at every share (an intersection-union test, which needs no
correction). Otherwise it depends on the noise and is undecided.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infoplane.estimators.nulls import NUMERICAL_ERROR
from infoplane.findings.curves import PRIMARY, Finished, Series, group_matrix
from infoplane.findings.evidence import Floats, Paired
from infoplane.findings.finding import UNDECIDED, Judge, Judgement, Number, against, noted
from infoplane.findings.layers import difference, mean_of_paired, paired
from infoplane.records.standing import with_standing
from infoplane.records.tables import INPUT_INFORMATION, KDE_BD, RELATIVE_NOISE, SWEPT_NOISE

SHARES = (0.001, 0.003, 0.01, 0.03, 0.1)  # of the total variance of a layer
ONE_NOISE = "at relative noise, the only one measured at every epoch and level"
_EDGE = 1.01  # a share this near to the first or last measured one counts as measured


@dataclass(frozen=True, kw_only=True)
class Profile:
    """I(X;T) of one layer at one epoch over the noise, in nats.

    Args:
        epoch: of the measurement.
        shares: `(noises,)`, ascending.
        values: `(noises,)`.
        groups: `(noises, groups)`, as in `Curve`.
        saturated: `(noises,)`.
    """

    epoch: int
    shares: Floats
    values: Floats
    groups: Floats
    saturated: NDArray[np.bool_]

    def at(self, share: float) -> tuple[float, Floats] | None:
        """Return value and groups at a share; None outside the measured range or where it is saturated."""
        if not self.shares[0] / _EDGE <= share <= self.shares[-1] * _EDGE:
            return None
        share = float(np.clip(share, self.shares[0], self.shares[-1]))
        upper = min(max(int(np.searchsorted(self.shares, share)), 1), len(self.shares) - 1)
        lower = max(upper - 1, 0)
        step = math.log(self.shares[upper] / self.shares[lower])
        weight = math.log(share / self.shares[lower]) / step if step > 0 else 0.0
        weights = np.zeros(len(self.shares))
        weights[lower] += 1 - weight
        weights[upper] += weight
        if (self.saturated & (weights > _EDGE - 1)).any():
            return None
        return float(weights @ self.values), weights @ self.groups


class Profiles(dict[tuple[int, Series], Profile]):
    """All profiles of a run by seed and by the curve that they belong to: that of the bound at relative noise."""


def read_profiles(measurements: pl.DataFrame) -> Profiles:
    """Return the profiles of the KDE lower bound of I(X;T), of undistorted test examples.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
    """
    rows = measurements.filter(
        pl.col("estimator") == KDE_BD,
        pl.col("quantity") == INPUT_INFORMATION,
        pl.col("noise_mode").is_in([RELATIVE_NOISE, SWEPT_NOISE]),
        pl.col("class_index").is_null(),
        pl.col("distortion").is_null(),
        pl.col("split") == "test",
        pl.col("noise_ratio").is_not_null(),
    )
    by = ["seed", "training", "examples", "layer_index", "layer"]
    swept = rows.filter(pl.col("noise_mode") == SWEPT_NOISE).group_by(by).agg(last=pl.col("epoch").max())
    rows = with_standing(rows).join(swept, on=by).filter(pl.col("epoch") == pl.col("last"))
    rows = rows.with_columns(share=pl.col("noise_ratio") / pl.col("features")).unique(
        [*by, "share"], keep="first", maintain_order=True
    )
    profiles = Profiles()
    for (seed, training, examples, index, layer), own in rows.sort("share").group_by(by, maintain_order=True):
        layer_name = (index, str(layer))
        series = Series(str(training), str(examples), layer_name, PRIMARY[INPUT_INFORMATION], INPUT_INFORMATION)
        profiles[seed, series] = Profile(
            epoch=own["epoch"][0],
            shares=own["share"].to_numpy(),
            values=own["value_nats"].to_numpy(),
            groups=group_matrix(own),
            saturated=own["saturated"].to_numpy(),
        )
    return profiles


class OverNoise(NamedTuple):
    """A statistic in nats at the noise that a verdict rests on, and at each share of the range.

    `by_share` is None for a quantity without a range; empty if no sweep was measured. `layers` says for a mean over
    layers at which shares fewer of them speak, e.g. "3 of 5 layers".
    """

    main: Paired
    by_share: Mapping[float, Paired] | None = None
    layers: Mapping[float, str] = MappingProxyType({})

    @property
    def value(self) -> float:
        """The mean over seeds at the main noise."""
        return self.main.evidence().value

    def judge(self, *, above: bool) -> Judge:
        """Judge it against 0, beyond the numerical error of the estimators, at every noise of the range."""
        judges = {
            share: against(one.evidence(), above=above, margin=NUMERICAL_ERROR)
            for share, one in (self.by_share or {}).items()
        }
        main = against(self.main.evidence(), above=above, margin=NUMERICAL_ERROR)
        few = ", ".join(f"noise share {share:g} over {layers}" for share, layers in self.layers.items())
        return main if self.by_share is None else noted(holding(main, judges), few)

    def numbers(self) -> tuple[Number, ...]:
        """Return the value at each share."""
        found = (self.by_share or {}).items()
        return tuple(
            Number(", ".join(filter(None, (f"at noise share {share:g}", self.layers.get(share)))), value, "nats")
            for share, value in ((share, one.evidence().value) for share, one in found)
        )


def mean_over_noise(parts: Sequence[OverNoise]) -> OverNoise:
    """Average over layers; at each share over those layers that are measured and not saturated there."""
    main = mean_of_paired([part.main for part in parts])
    if parts[0].by_share is None:
        return OverNoise(main)
    ranges = [part.by_share or {} for part in parts]
    found = {share: [one[share] for one in ranges if share in one] for share in SHARES}
    few = {share: f"{len(own)} of {len(parts)} layers" for share, own in found.items() if 0 < len(own) < len(parts)}
    return OverNoise(main, {share: mean_of_paired(own) for share, own in found.items() if own}, few)


def over_noise(profiles: Profiles, finished: Finished) -> dict[float, Paired]:
    """Return the first less the second of two series, at each share of the range at which every seed has both."""
    found: dict[float, Paired] = {}
    for share in SHARES:
        own = [profiles.get((seed, series)) for seed in finished.seeds for series in finished.series]
        known = [one.at(share) for one in own if one is not None and one.epoch == finished.epoch]
        values = [one for one in known if one is not None]
        if len(values) == len(own):
            found[share] = paired([difference(*pair) for pair in zip(values[::2], values[1::2], strict=True)])
    return found


def holding(main: Judge, by_share: Mapping[float, Judge]) -> Judge:
    """Judge like `main` if every share gives the same verdict; otherwise leave it undecided."""

    def judge(alpha: float) -> Judgement:
        found = main(alpha)
        if not by_share:
            reason = "missing: no noise sweep in this range, so the verdict may depend on the noise"
            return found._replace(verdict=UNDECIDED, reason=reason)
        verdicts = {share: one(alpha).verdict for share, one in by_share.items()}
        if set(verdicts.values()) | {found.verdict} == {found.verdict}:
            return found._replace(reason=f"{found.reason}; the same at noise shares {_span(list(verdicts))}")
        said = ", ".join(
            f"{verdict} at {_span([share for share, one in verdicts.items() if one == verdict])}"
            for verdict in dict.fromkeys(verdicts.values())
        )
        reason = f"depends on the noise: {found.verdict} at relative noise, by share of the variance {said}"
        return found._replace(verdict=UNDECIDED, reason=reason)

    return judge


def _span(shares: Sequence[float]) -> str:
    return ", ".join(f"{share:g}" for share in shares)
