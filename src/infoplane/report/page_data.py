"""Data of the interactive charts, as one compact object for the page's script."""

import json
import math
from collections.abc import Mapping
from typing import Any

import polars as pl

from infoplane.records.tables import NORMAL_TRAINING, TEST, TRAIN
from infoplane.report.bits import examples_of, layers_of, plane_points, trainings_of
from infoplane.report.labels import curve_label, curve_order, estimator_label, estimator_order

_DECIMALS = 3  # resolution in bits; two decimals are printed


def page_data(rows: pl.DataFrame, performance: pl.DataFrame, train: pl.DataFrame | None = None) -> dict[str, Any]:
    """Collect series for the charts.

    A series of the plane is of one split, "test" or "train". It holds columns over its epochs `e`: raw values `x` and
    `y` in bits, errors `dx` `dy`, ceilings `cx` `cy`, the null's quantile `q`, and flags as strings of 0 and 1:
    saturated `sx` `sy`, undersampled `f`, null-like `n`. A column that never changes is one number.

    Args:
        rows: as `bits.in_bits` returns them, of test images.
        performance: undistorted rows.
        train: the same of training images, where these were measured.
    """
    points = plane_points(rows)
    layers = layers_of(points, pixels=True)
    trainings = trainings_of(points, performance)
    curves = performance.select("split", "examples").unique().rows()
    series = _plane_series(points, layers, TEST)
    if train is not None and not train.is_empty():
        series += _plane_series(plane_points(train), layers, TRAIN)
    return {
        "splits": list(dict.fromkeys(one["split"] for one in series)),
        "epochs": points["epoch"].unique().sort().to_list(),
        "layers": [name for _, name in layers],
        "seeds": sorted({seed for seed, _ in trainings}),
        "trainings": list(dict.fromkeys(training for _, training in trainings)),
        "examples": examples_of(points, control=True),
        "estimators": sorted(points["estimator"].unique(), key=estimator_order),
        "labels": {name: estimator_label(name) for name in points["estimator"].unique().sort()},
        "curves": [curve_label(*curve) for curve in sorted(curves, key=lambda curve: curve_order(*curve))],
        "series": series,
        "performance": _performance_series(performance),
    }


def _plane_series(points: pl.DataFrame, layers: list[tuple[int, str]], split: str) -> list[dict[str, Any]]:
    by = ["seed", "training", "layer_index", "layer", "estimator", "examples"]
    series = []
    for key, own in points.group_by(by, maintain_order=True):
        seed, training, index, layer, estimator, examples = key
        series.append(
            {
                "seed": seed,
                "training": training,
                "split": split,
                "layer": layers.index((index, layer)),
                "estimator": estimator,
                "examples": examples,
                "e": own["epoch"].to_list(),
                "x": _rounded(own["input_value_bits"]),
                "y": _rounded(own["label_value_bits"]),
                "dx": _compact(own["input_error_bits"]),
                "dy": _compact(own["label_error_bits"]),
                "cx": _compact(own["input_ceiling_bits"]),
                "cy": _compact(own["label_ceiling_bits"]),
                "q": _compact(own["label_null_bits"]),
                "sx": _flags(own["input_saturated"]),
                "sy": _flags(own["label_saturated"]),
                "f": _flags(own["input_undersampled"]),
                "n": _flags(own["label_null_like"]),
            }
        )
    order = {name: rank for rank, name in enumerate(examples_of(points, control=True))}
    return sorted(series, key=lambda one: (*_training_order(one), order[one["examples"]]))


def _performance_series(performance: pl.DataFrame) -> list[dict[str, Any]]:
    series = []
    rows = performance.sort("seed", "training", "epoch")
    for key, own in rows.group_by(["seed", "training", "split", "examples"], maintain_order=True):
        seed, training, split, examples = key
        series.append(
            {
                "seed": seed,
                "training": training,
                "curve": curve_label(str(split), str(examples)),
                "order": curve_order(str(split), str(examples)),
                "e": own["epoch"].to_list(),
                "accuracy": _rounded(own["accuracy"], 5),
                "loss": _rounded(own["loss"], 5),
            }
        )
    series.sort(key=lambda one: (*_training_order(one), one.pop("order")))
    return series


def _training_order(series: Mapping[str, Any]) -> tuple[int, bool, str]:
    return (series["seed"], series["training"] != NORMAL_TRAINING, series["training"])


def _rounded(column: pl.Series, decimals: int = _DECIMALS) -> list[float | None]:
    return [None if value is None or not math.isfinite(value) else round(value, decimals) for value in column]


def _compact(column: pl.Series) -> float | list[float | None] | None:
    values = _rounded(column)
    return values[0] if len(set(values)) == 1 else values


def _flags(column: pl.Series) -> str:
    return "".join("1" if value else "0" for value in column)


def embedded_json(value: Any) -> str:
    """Return JSON that is safe inside a `<script>` element: it contains no `<` that could end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # The two separators end a line in older JavaScript.
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
