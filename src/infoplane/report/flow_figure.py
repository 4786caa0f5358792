"""Main figure of study one (Fig. 4): performance, information over depth, and information planes."""

import math
from collections.abc import Sequence

import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec

from infoplane.records.tables import INPUT_INFORMATION, LABEL_INFORMATION, ORIGINAL, PIXELS_INDEX
from infoplane.report.bits import examples_of, layers_of, relative_noise_text
from infoplane.report.examples import examples_look
from infoplane.report.figure import FigureSpec, NothingToSee
from infoplane.report.labels import (
    RELATIVE_ESTIMATORS,
    STUDY_ESTIMATORS,
    curve_label,
    curve_order,
    estimator_label,
)
from infoplane.report.nothing_to_see import all_at_ceiling, planes_at_ceiling
from infoplane.report.planes import draw_plane_row, plane_legend
from infoplane.report.recorded import Recorded
from infoplane.report.style import (
    CEILING,
    COLOURS,
    LINES,
    PAGE_INCHES,
    epoch_axis,
    epoch_bar,
    epoch_colours,
    epoch_norm,
    log_axis,
    new_figure,
    plain,
    say_missing,
)

_LONGEST_OF_TWO = 20  # longest total length of names side by side in a legend, in characters
_PLANES_ACROSS = 6  # planes per row: with more they are too small to read; further layers go to the next row

INFORMATION_FLOW = FigureSpec[Recorded](
    kind="information-flow",
    per="training",
    caption=(
        "Top row: loss, accuracy and both informations against the index of the layer; crosses are attacked examples "
        "at the last epoch. Below: one information plane per layer and estimator. Circles are original examples, "
        "crosses attacked ones, and colour is the epoch. Dashed lines are ceilings; the shaded band is what permuted "
        "labels reach. Two baselines: a diamond around epoch 0, whose weights are random, and a star for the raw "
        "pixels as a layer. All planes of one estimator share their axes. A path to the right means that the layer "
        "keeps more inputs apart, a path upwards that it keeps more labels apart."
    ),
    draw=lambda own: information_flow_figure(own.points, own.performance, f"Information flow, {own.where}"),
)

RELATIVE_NOISE_PLANES = FigureSpec[Recorded](
    kind="relative-noise",
    per="training",
    caption=(
        "The KDE planes again, with noise in proportion to the variance of each layer at each epoch and on each kind "
        "of examples. A layer that only scales its outputs does not move here."
    ),
    draw=lambda own: _relative_noise(own),
)


def _relative_noise(own: Recorded) -> Figure | NothingToSee | None:
    points = own.points.filter(pl.col("estimator").is_in(RELATIVE_ESTIMATORS))
    if points.is_empty():
        return None
    if planes_at_ceiling(points):
        return all_at_ceiling(points, "input_")
    title = f"Information planes at relative noise, {relative_noise_text(own.rows)}, {own.where}"
    return relative_noise_figure(points, title)


def information_flow_figure(points: pl.DataFrame, performance: pl.DataFrame, title: str) -> Figure:
    """Draw one training of one seed.

    Args:
        points: rows of `bits.plane_points`; may be empty or hold some estimators only.
        performance: rows of the same training, undistorted.
        title: stands above the figure.
    """
    norm = epoch_norm(sorted({*points["epoch"], *performance["epoch"]}))
    rows, lines = _plane_rows(points, STUDY_ESTIMATORS)
    width, height = PAGE_INCHES
    height *= (1 + rows) / 4
    figure = new_figure(title, width, height)
    edges = {"left": 0.075, "right": 0.915, "top": 1 - 0.48 / height, "bottom": 0.78 / height}
    grid = figure.add_gridspec(1 + rows, 1, hspace=0.5, **edges)
    first = grid[0].subgridspec(1, 4, wspace=0.32).subplots(squeeze=False)[0]
    draw_performance(first[0], performance, "loss")
    draw_performance(first[1], performance, "accuracy")
    draw_over_depth(first[2], points, "input", norm)
    draw_over_depth(first[3], points, "label", norm)
    _draw_planes([grid[1 + row] for row in range(rows)], points, STUDY_ESTIMATORS, lines, norm)
    epoch_bar(figure, norm, (0.935, edges["bottom"], 0.012, 0.45))
    figure.legend(handles=plane_legend(points), loc="lower center", ncol=5, columnspacing=1.6)
    return figure


def relative_noise_figure(points: pl.DataFrame, title: str) -> Figure:
    """Draw the KDE planes of one training of one seed with noise in proportion to each layer's variance.

    Args:
        points: rows of `bits.plane_points`.
        title: stands above the figure.
    """
    norm = epoch_norm(points["epoch"])
    rows, lines = _plane_rows(points, RELATIVE_ESTIMATORS)
    width, height = PAGE_INCHES[0], 1.2 + 1.6 * rows
    figure = new_figure(title, width, height)
    edges = {"left": 0.075, "right": 0.915, "top": 1 - 0.48 / height, "bottom": 0.78 / height}
    grid = figure.add_gridspec(rows, 1, hspace=0.5, **edges)
    _draw_planes([grid[row] for row in range(rows)], points, RELATIVE_ESTIMATORS, lines, norm)
    epoch_bar(figure, norm, (0.935, edges["bottom"], 0.012, edges["top"] - edges["bottom"]))
    figure.legend(handles=plane_legend(points), loc="lower center", ncol=5, columnspacing=1.6)
    return figure


def _plane_rows(points: pl.DataFrame, estimators: Sequence[str]) -> tuple[int, int]:
    """Return the number of rows of all planes, and the number of rows per estimator."""
    lines = max(1, math.ceil(len(layers_of(points)) / _PLANES_ACROSS))
    return lines * len(estimators), lines


def _draw_planes(
    rows: Sequence[SubplotSpec], points: pl.DataFrame, estimators: Sequence[str], lines: int, norm: Normalize
) -> None:
    layers = layers_of(points)
    across = max(1, min(len(layers), _PLANES_ACROSS))
    for place, spec in enumerate(rows):
        estimator = estimators[place // lines]
        begin = place % lines * across
        axes = spec.subgridspec(1, across, wspace=0.12).subplots(squeeze=False)[0]
        name = estimator_label(estimator).replace(", ", ",\n")
        chosen = points.filter(pl.col("estimator") == estimator)
        draw_plane_row(axes, chosen, layers[begin : begin + across], norm, name, examples_of(points, control=True))
        if estimator == estimators[-1]:
            for plane in axes:
                plane.set_xlabel("I(X;T), bits")


def draw_performance(axes: Axes, performance: pl.DataFrame, measure: str) -> None:
    """Draw "loss" (cross-entropy, nats) or "accuracy" (percent) over epochs, one curve per set of examples."""
    axes.set_title("Loss, nats" if measure == "loss" else "Accuracy, %", loc="left", fontweight="bold")
    finite = performance.filter(pl.col(measure).is_finite())
    if finite.is_empty():
        say_missing(axes, "not measured")
        return
    curves = sorted(finite.select("split", "examples").unique().rows(), key=lambda curve: curve_order(*curve))
    for rank, (split, examples) in enumerate(curves):
        own = finite.filter(pl.col("split") == split, pl.col("examples") == examples).sort("epoch")
        axes.plot(
            own["epoch"],
            own[measure] * (100 if measure == "accuracy" else 1),
            color=COLOURS[rank % len(COLOURS)],
            linestyle=LINES[rank % len(LINES)],
            marker="o" if len(own) <= 2 else None,
            markersize=3,
            label=plain(curve_label(split, examples)),
        )
    if measure == "loss" and finite["loss"].min() > 0:  # type: ignore[operator]
        # Under attack, the loss of a normally trained network is a hundred times that on its training set.
        axes.set_yscale("log")
        log_axis(axes.yaxis)
    axes.set_xlabel("completed epochs")
    epoch_axis(axes, finite["epoch"])
    if measure == "accuracy":
        # Room above 100 % for the legend: rising curves leave no corner free.
        short = max(len(curve_label(*curve)) for curve in curves) <= _LONGEST_OF_TWO
        columns = 2 if short and len(curves) <= 4 else 1
        lines = max(2, math.ceil(len(curves) / columns))
        axes.set(ylim=(0, 100 + 25 * lines), yticks=(0, 25, 50, 75, 100))
        axes.legend(loc="upper left", ncol=columns, handlelength=2.2, borderpad=0, columnspacing=1.2)


def draw_over_depth(axes: Axes, points: pl.DataFrame, side: str, norm: Normalize, *, ceilings: bool = True) -> None:
    """Draw one information against layer index, a line per epoch; markers show all examples at the last epoch."""
    quantity = INPUT_INFORMATION if side == "input" else LABEL_INFORMATION
    measured = [name for name in STUDY_ESTIMATORS if name in set(points["estimator"])]
    if not measured:
        axes.set_title(f"{quantity} over depth", loc="left", fontweight="bold")
        say_missing(axes, "not measured")
        return
    axes.set_title(f"{quantity}, {estimator_label(measured[0], quantity)}", loc="left", fontweight="bold")
    chosen = points.filter(pl.col("estimator") == measured[0]).sort("epoch", "layer_index")
    original = chosen.filter(pl.col("examples") == ORIGINAL)
    column = f"{side}_drawn_bits"
    epochs = original["epoch"].unique().sort()
    paths = [original.filter(pl.col("epoch") == epoch).select("layer_index", column).to_numpy() for epoch in epochs]
    lines = LineCollection(paths, cmap=epoch_colours(), norm=norm, linewidths=0.9, label=ORIGINAL)
    lines.set_array(epochs.to_numpy())
    axes.add_collection(lines)
    last = chosen.filter(pl.col("epoch") == chosen["epoch"].max())
    for rank, name in enumerate(examples_of(points, control=True)):
        own = last.filter(pl.col("examples") == name)
        axes.scatter(
            own["layer_index"], own[column], c=own["epoch"], cmap=epoch_colours(), norm=norm,
            marker=examples_look(rank).marker, s=12, linewidths=0.9, zorder=3,
        )  # fmt: skip
    ceiling = chosen[f"{side}_ceiling_bits"].max()
    if ceiling is not None and ceilings:
        axes.axhline(ceiling, **CEILING)  # type: ignore[arg-type]
    axes.autoscale_view()
    axes.margins(x=0.06)
    places = chosen["layer_index"].unique().sort().to_list()
    axes.set(xlabel="layer index", ylabel="bits")
    axes.set_xticks(places, ["pixels" if place == PIXELS_INDEX else str(place) for place in places])
