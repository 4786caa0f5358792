"""Figure of four clouds of points, small and large, with mixed and tight classes, and their estimates."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from infoplane.records.sweeps import PICTURES
from infoplane.records.tables import BINNING, DECODED, KDE_BD, KDE_KL, NOISY
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import estimator_label
from infoplane.report.style import COLOURS, PAGE_INCHES, new_figure
from infoplane.report.sweep_curves import QUANTITIES, Sweeps, averaged, write_caption

_ROWS = (KDE_KL, KDE_BD, BINNING, NOISY, DECODED)
_MARKERS = "ox^s+vD*"

FOUR_CLOUDS = FigureSpec[Sweeps](
    kind="four-clouds",
    caption=(
        "Study three: four clouds of points with the same labels, and what each estimator gives for them. Only the "
        "decoder depends on the classes alone; every other estimate also follows the spread of the cloud."
    ),
    draw=lambda sweeps: clouds_figure(sweeps.measurements, sweeps.clouds),
)


def clouds_figure(measurements: pl.DataFrame, clouds: pl.DataFrame) -> Figure:
    """Draw the four clouds with the estimates under each.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`.
        clouds: picture, x, y and label of the points of one draw.
    """
    pictured = measurements.filter(pl.col("sweep") == PICTURES)
    rows = averaged(pictured)
    settings = pictured.unique("x").sort("x").to_dicts()
    width, height = PAGE_INCHES[0], 4.75
    figure = new_figure("What the estimators see: four clouds of the same classes", width, height)
    edges = {"left": 0.75 / width, "right": 0.99, "top": 1 - 0.6 / height, "bottom": 1.95 / height}
    axes = figure.add_gridspec(1, len(settings), wspace=0.12, **edges).subplots(squeeze=False)[0]
    reach = 1.05 * float(np.abs(clouds.select("x", "y").to_numpy()).max())
    noise, bins = pictured["noise_variance"].drop_nulls()[0], pictured["bin_width"].drop_nulls()[0]
    smallest = min(one["spread"] for one in settings)
    for place, one in zip(axes, settings, strict=True):
        size = "small" if one["spread"] == smallest else "large"
        _draw_points(place, clouds.filter(pl.col("picture") == int(one["x"])), one, size, reach)
        _draw_scales(place, reach, noise, bins)
        _write_values(place, rows.filter(pl.col("x") == one["x"]))
    truths = f"noise variance {noise:g}, bin width {bins:g}, {settings[0]['samples']:,} points"
    write_caption(
        figure,
        f"Mean over draws, in bits; {truths}; * saturated. All four panels have the same scale; the "
        "ring is two standard deviations of the noise, the square a bin. "
        "Only the decoder depends on whether classes are mixed or tight alone; every other estimate also follows the "
        "spread. "
        "Truth: of the distribution, under this noise for both, and without noise for I(T;Y).",
    )
    return figure


def _draw_points(axes: Axes, points: pl.DataFrame, settings: Mapping[str, Any], size: str, reach: float) -> None:
    for (label,), own in points.sort("label").group_by("label", maintain_order=True):
        number = int(str(label))
        axes.plot(
            own["x"], own["y"], _MARKERS[number % len(_MARKERS)], color=COLOURS[number % len(COLOURS)], markersize=1.8,
            markerfacecolor="none", markeredgewidth=0.5, label=f"class {number}",
        )  # fmt: skip
    mixed = "mixed" if settings["tightness"] < 0.5 else "tight"
    axes.set_title(f"{size} spread, {mixed} classes", loc="left", fontweight="bold")
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(True)


def _draw_scales(axes: Axes, reach: float, noise_variance: float, bin_width: float) -> None:
    axes.add_patch(Circle((-0.88 * reach, 0.88 * reach), 2 * noise_variance**0.5, fill=False, linewidth=0.8))
    axes.add_patch(
        Rectangle((-0.72 * reach, 0.88 * reach - bin_width / 2), bin_width, bin_width, fill=False, linewidth=0.8)
    )


def _write_values(axes: Axes, rows: pl.DataFrame) -> None:
    """Write a small table under the picture: one line per estimator with both informations, the truth last."""
    by_name = {(row["estimator"], row["quantity"]): row for row in rows.to_dicts()}
    place: dict[str, Any] = {"transform": axes.transAxes, "va": "top"}
    for column, quantity in enumerate(QUANTITIES):
        axes.text(0.72 + 0.28 * column, -0.03, quantity, ha="right", fontweight="bold", **place)
    lines = [(estimator_label(name), [by_name.get((name, quantity)) for quantity in QUANTITIES]) for name in _ROWS]
    texts = [(label, [_text(row, "mean_bits") for row in pair]) for label, pair in lines]
    truths = [_text(by_name.get((NOISY, quantity)), "truth_bits") for quantity in QUANTITIES]
    texts.append(("truth, with noise", truths))
    texts.append(("truth, no noise", ["∞", _text(by_name.get((DECODED, QUANTITIES[1])), "truth_bits")]))
    for line, (label, values) in enumerate(texts, start=1):
        height = -0.03 - 0.075 * line
        axes.text(0.0, height, label, ha="left", **place)
        for column, value in enumerate(values):
            axes.text(0.72 + 0.28 * column, height, value, ha="right", **place)


def _text(row: Mapping[str, Any] | None, column: str) -> str:
    if row is None or row[column] is None:
        return "-"
    return f"{row[column]:.2f}{'*' if column == 'mean_bits' and row['saturated'] else ''}"
