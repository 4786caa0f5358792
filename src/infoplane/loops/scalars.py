"""Numbers of one measurement as a flat dict of floats, for trackers of experiments."""

import math
from collections.abc import Iterator

from infoplane.measuring.plane import PlaneRecords
from infoplane.records.tables import (
    ALL_SPLITS,
    ESTIMATE,
    FIXED_NOISE,
    INPUT_INFORMATION,
    KDE_MIXED,
    LABEL_INFORMATION,
    SWEPT_NOISE,
    Measurement,
)

_GEOMETRY = (
    "activation_norm",
    "mean_unit_variance",
    "class_clustering_index",
    "participation_ratio",
    "cka_with_original",
)


def scalars_of(records: PlaneRecords) -> dict[str, float]:
    """Return accuracy, loss, I(X;T), I(T;Y) and geometry by name; missing values and those not finite are left out.

    Noise sweeps, numbers of single classes and other quantities are in the tables alone: a tracker draws one curve for
    each name.
    """
    return {name: float(value) for name, value in _named(records) if value is not None and math.isfinite(value)}


def _named(records: PlaneRecords) -> Iterator[tuple[str, float | None]]:
    for row in records.performance:
        yield f"{row.examples}/accuracy", row.accuracy
        yield f"{row.examples}/loss", row.loss
    for measured in records.measurements:
        if _is_scalar(measured):
            yield _key(measured), measured.value_nats
    for place in records.geometry:
        for name in _GEOMETRY:
            yield f"{place.examples}/{place.layer}/{name}", getattr(place, name)


def _is_scalar(row: Measurement) -> bool:
    shown = row.quantity in (INPUT_INFORMATION, LABEL_INFORMATION) and row.split != ALL_SPLITS
    return shown and row.noise_mode != SWEPT_NOISE and row.class_index is None


def _key(row: Measurement) -> str:
    """Name examples, layer, quantity and estimator, and what distinguishes two numbers of one estimator."""
    noise = f"@{row.noise_mode}" if row.noise_mode not in (None, FIXED_NOISE) else ""
    return f"{row.examples}/{row.layer}/{row.quantity}_{row.estimator}{noise}{_side(row)}_nats"


def _side(row: Measurement) -> str:
    """Return the kind of a bound where one estimator gives both a lower and an upper one."""
    return f"_{row.kind}" if row.estimator == KDE_MIXED and row.kind != ESTIMATE else ""
