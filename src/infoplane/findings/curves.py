"""Curves over epochs, read from the measurements of study one, with what each group of examples gives."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infoplane.findings.evidence import Floats
from infoplane.records.standing import with_standing
from infoplane.records.tables import (
    DECODED,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_MIXED,
    LABEL_INFORMATION,
    OWN_NOISE,
    RELATIVE_NOISE,
    SWEPT_NOISE,
)

QUANTITIES = (INPUT_INFORMATION, LABEL_INFORMATION)

# Fixed noise confounds I(X;T) with the scale of the activations: a share of the layer's own variance does not. Its
# lower bound runs into log N last. Of I(T;Y) only held-out decoders are not fooled by memorised examples.
PRIMARY = {INPUT_INFORMATION: f"{KDE_BD}@{RELATIVE_NOISE}", LABEL_INFORMATION: DECODED}


class Series(NamedTuple):
    """What a curve is of, but for the seed."""

    training: str
    examples: str
    layer: tuple[int, str]
    estimator: str
    quantity: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One number over epochs, in nats.

    Args:
        epochs: `(epochs,)`, ascending.
        values: `(epochs,)`.
        groups: `(epochs, groups)` means over fixed groups of examples; NaN for an empty one. No columns: not recorded.
        saturated: `(epochs,)`, see `standing`.
        null_like: `(epochs,)`, likewise; False where no null was taken.
        undersampled: `(epochs,)`, likewise.
    """

    epochs: tuple[int, ...]
    values: Floats
    groups: Floats
    saturated: NDArray[np.bool_]
    null_like: NDArray[np.bool_]
    undersampled: NDArray[np.bool_]

    def at(self, epochs: Sequence[int]) -> "Curve":
        """Return the curve at some of its epochs."""
        chosen = [self.epochs.index(epoch) for epoch in epochs]
        return Curve(
            epochs=tuple(epochs),
            values=self.values[chosen],
            groups=self.groups[chosen],
            saturated=self.saturated[chosen],
            null_like=self.null_like[chosen],
            undersampled=self.undersampled[chosen],
        )

    def combination(self, weights: Floats) -> tuple[float, Floats]:
        """Return a weighted sum over epochs and the same of each group, `(groups,)`."""
        return float(weights @ self.values), weights @ self.groups


class Curves(dict[tuple[int, Series], Curve]):
    """All curves of a run by seed and by what they are of."""

    @property
    def layers(self) -> list[tuple[int, str]]:
        """(index, name) from input to output."""
        return sorted({series.layer for _, series in self})

    def estimators(self, quantity: str) -> list[str]:
        """Estimators of a quantity: the primary one, recorded or not, then the others by name."""
        found = {series.estimator for _, series in self if series.quantity == quantity}
        return [PRIMARY[quantity], *sorted(found - {PRIMARY[quantity]})]

    def seeds(self, *wanted: Series) -> list[int]:
        """Seeds that have every one of these, ascending."""
        return sorted(seed for seed in {seed for seed, _ in self} if all((seed, one) in self for one in wanted))

    def finished(self, *wanted: Series) -> "Finished | None":
        """Return the curves of each of these, of the seeds that have them all at the latest epoch that any seed has.

        A seed whose training is under way would otherwise move the others back to its last epoch.
        """
        last = {seed: common_epochs([self[seed, one] for one in wanted])[-1:] for seed in self.seeds(*wanted)}
        latest = max(last.values(), default=[])
        if not latest:
            return None
        seeds = [seed for seed, epoch in last.items() if epoch == latest]
        epochs = common_epochs([self[seed, one] for seed in seeds for one in wanted])
        begun = {seed for seed, series in self if series in wanted}
        return Finished(
            series=wanted,
            curves=[[self[seed, one].at(epochs) for seed in seeds] for one in wanted],
            seeds=seeds,
            left_out=sorted(begun - set(seeds)),
            lasts=[max(self[seed, one].epochs[-1] for seed in seeds) for one in wanted],
        )


class Finished(NamedTuple):
    """Curves of several series, one for each seed that came as far as any, at the epochs that all of them have."""

    series: tuple[Series, ...]
    curves: list[list[Curve]]
    seeds: list[int]
    left_out: list[int]  # seeds that did not come as far
    lasts: list[int]  # last measured epoch of each series, in any of these seeds

    @property
    def epoch(self) -> int:
        """The last one."""
        return self.curves[0][0].epochs[-1]


def reach(found: Iterable[Finished | None]) -> str:
    """Say how far curves go and which seeds did not come as far, for the end of a list in brackets."""
    known = [one for one in found if one is not None]
    if not known:
        return ""
    left_out = sorted({seed for one in known for seed in one.left_out})
    unfinished = f", without unfinished seed {', '.join(map(str, left_out))}" if left_out else ""
    return f", epoch {max(one.epoch for one in known)}{unfinished}"


def read_curves(measurements: pl.DataFrame) -> Curves:
    """Return the curves of both informations on undistorted test examples; swept noise and mixed bounds are left out.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
    """
    rows = rows_to_judge(measurements).filter(
        pl.col("distortion").is_null(), pl.col("split") == "test", pl.col("quantity").is_in(QUANTITIES)
    )
    by = ["seed", "training", "examples", "layer_index", "layer", "estimator", "quantity"]
    curves = Curves()
    for found, own in rows.sort("epoch").group_by(by, maintain_order=True):
        seed, training, examples, index, layer, estimator, quantity = found
        series = Series(str(training), str(examples), (index, str(layer)), str(estimator), str(quantity))
        curves[seed, series] = Curve(
            epochs=tuple(own["epoch"]),
            values=own["value_nats"].to_numpy(),
            groups=group_matrix(own),
            saturated=own["saturated"].to_numpy(),
            null_like=own["null_like"].to_numpy(),
            undersampled=own["undersampled"].to_numpy(),
        )
    return curves


def rows_to_judge(measurements: pl.DataFrame) -> pl.DataFrame:
    """Return the rows that findings may rest on, with their standing.

    Mixed bounds and swept noise are left out, and the network's own noise too: other layers have none to compare with.
    """
    noises = pl.col("noise_mode").is_in([SWEPT_NOISE, OWN_NOISE]).fill_null(value=False)
    chosen = measurements.filter(pl.col("class_index").is_null(), pl.col("estimator") != KDE_MIXED, ~noises)
    return with_standing(chosen)


def group_matrix(rows: pl.DataFrame) -> Floats:
    """Return the group means of some records, `(rows, groups)`; NaN for an empty group.

    Without columns where a record has none, or where their numbers differ, so that nothing is paired.
    """
    lists = rows["group_means"].to_list()
    sizes = {len(means) if means else 0 for means in lists}
    if len(sizes) != 1:
        return np.empty((len(lists), 0))
    return np.array([[np.nan if mean is None else mean for mean in means or []] for means in lists]).reshape(
        len(lists), sizes.pop()
    )


def common_epochs(curves: Iterable[Curve]) -> list[int]:
    """Epochs at which all curves were measured, ascending; none of no curve."""
    epochs = [set(curve.epochs) for curve in curves]
    return sorted(set.intersection(*epochs)) if epochs else []
