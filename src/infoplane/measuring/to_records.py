"""Convert estimates to rows of the records."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from torch import Tensor

from infoplane.estimators import Estimate, group_means
from infoplane.records.compression import CompressionMeasurement
from infoplane.records.sweeps import SweepMeasurement
from infoplane.records.tables import Measurement

Row = TypeVar("Row", Measurement, SweepMeasurement, CompressionMeasurement)


def record(row: type[Row], estimate: Estimate, facts: Mapping[str, Any], groups: Tensor | None = None) -> Row:
    """Return one estimate as a row of a table, in the columns that this table has.

    Args:
        row: `Measurement`, `SweepMeasurement` or `CompressionMeasurement`.
        estimate: gives the value and the columns to judge it; if it is about some samples only, also their number.
        facts: all other columns: where the estimate comes from, its noise or bin width.
        groups: `(samples,)` integers; the influence terms are averaged over these groups of samples.
    """
    null = estimate.null
    columns: dict[str, Any] = {
        "estimator": estimate.estimator,
        "kind": estimate.kind,
        "quantity": estimate.quantity,
        "distribution": estimate.distribution,
        "class_index": estimate.class_index,
        "value_nats": estimate.value,
        "standard_error": estimate.error,
        "interval_low": estimate.low,
        "interval_high": estimate.high,
        "ceiling_nats": estimate.ceiling,
        "null_mean_nats": null.mean if null else None,
        "null_quantile95_nats": null.quantile95 if null else None,
        "permutations": len(null.values) if null else None,
        "saturated": estimate.saturated,
        "undersampled": estimate.undersampled,
    }
    if estimate.rows is not None:
        columns["samples"] = len(estimate.rows)
    if groups is not None and estimate.influences is not None:
        own = groups if estimate.rows is None else groups[estimate.rows]
        means = group_means(estimate.influences, own, int(groups.max()) + 1).tolist()
        # a class with fewer examples than groups leaves groups empty
        columns["group_means"] = [None if math.isnan(mean) else mean for mean in means]
    known = {field.name for field in fields(row)}
    return row(**{**facts, **{name: value for name, value in columns.items() if name in known}})
