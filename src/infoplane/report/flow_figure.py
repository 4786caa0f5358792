"""The study's Fig. 4: performance, information over depth, and one information plane per layer and estimator."""

import math

import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from infoplane.records import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bits import examples_of, layers_of
from infoplane.report.labels import (
    STUDY_ESTIMATORS,
    curve_label,
    curve_order,
    estimator_label,
    training_label,
)
from infoplane.report.planes import draw_plane, plane_legend, plane_limits
from infoplane.report.style import (
    CEILING,
    COLOURS,
    LINES,
    PAGE_INCHES,
    epoch_axis,
    epoch_colours,
    epoch_norm,
    plain,
    say_missing,
    title_layer,
)

_PLANES_ACROSS = 6  # more would leave them too small to read; further layers go to the next row


def information_flow_figure(points: pl.DataFrame, performance: pl.DataFrame, title: str) -> Figure:
    """Draw one training of one seed.

    Args:
        points: rows of `bits.plane_points`; may be empty or hold some estimators only.
        performance: rows of the same training, undistorted.
        title: stands above the figure.
    """
    layers = layers_of(points)
    epochs = sorted({*points["epoch"], *performance["epoch"]})
    norm = epoch_norm(epochs)
    across = max(1, min(len(layers), _PLANES_ACROSS))
    lines = max(1, math.ceil(len(layers) / _PLANES_ACROSS))
    rows = 1 + lines * len(STUDY_ESTIMATORS)
    width, height = PAGE_INCHES
    height *= rows / 4
    figure = Figure(figsize=(width, height))
    figure.suptitle(plain(title), fontsize=9, x=0.06, y=1 - 0.1 / height, ha="left", va="top", fontweight="bold")
    edges = {"left": 0.06, "right": 0.915, "top": 1 - 0.48 / height, "bottom": 0.78 / height}
    grid = figure.add_gridspec(rows, 1, hspace=0.5, **edges)
    first = grid[0].subgridspec(1, 4, wspace=0.32).subplots(squeeze=False)[0]
    draw_performance(first[0], performance, "loss")
    draw_performance(first[1], performance, "accuracy")
    _draw_over_depth(first[2], points, "input", norm)
    _draw_over_depth(first[3], points, "label", norm)
    for rank, estimator in enumerate(STUDY_ESTIMATORS):
        chosen = points.filter(pl.col("estimator") == estimator)
        for line in range(lines):
            row = grid[1 + rank * lines + line].subgridspec(1, across, wspace=0.12).subplots(squeeze=False)[0]
            _draw_row(row, chosen, layers[line * across : (line + 1) * across], estimator, norm, last=rank == 2)
    bar = figure.add_axes((0.935, edges["bottom"], 0.012, 0.45))
    figure.colorbar(ScalarMappable(norm, epoch_colours()), cax=bar, label="completed epochs")
    bar.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(handles=plane_legend(examples_of(points)), loc="lower center", ncol=5, columnspacing=1.6)
    return figure


def _draw_row(
    row: list[Axes], points: pl.DataFrame, layers: list[tuple[int, str]], estimator: str, norm: Normalize, *, last: bool
) -> None:
    for column, axes in enumerate(row):
        if column >= max(1, len(layers)):
            axes.set_axis_off()
            continue
        index, layer = layers[column] if layers else (0, "no layer")
        draw_plane(axes, points.filter(pl.col("layer_index") == index), norm)
        title_layer(axes, layer)
        if column == 0:
            axes.set_ylabel(f"{estimator_label(estimator)}\nI(T;Y), bits")
        if not points.is_empty():
            axes.set(xlim=plane_limits(points, "input"), ylim=plane_limits(points, "label"))
            axes.tick_params(labelleft=column == 0)
        if last:
            axes.set_xlabel("I(X;T), bits")


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
        # Attacked, a normally trained network loses a hundred times more than on its training set.
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("completed epochs")
    epoch_axis(axes, finite["epoch"])
    if measure == "accuracy":
        # Room above 100 %: curves that start low and end high leave no corner free for a legend.
        axes.set(ylim=(0, 150), yticks=(0, 25, 50, 75, 100))
        axes.legend(loc="upper left", ncol=2, handlelength=2.2, borderpad=0, columnspacing=1.2)


def _draw_over_depth(axes: Axes, points: pl.DataFrame, side: str, norm: Normalize) -> None:
    """Draw one information against layer index, a line per epoch; crosses are attacked examples at the last one."""
    quantity = INPUT_INFORMATION if side == "input" else LABEL_INFORMATION
    measured = [name for name in STUDY_ESTIMATORS if name in set(points["estimator"])]
    if not measured:
        axes.set_title(f"{quantity} over depth", loc="left", fontweight="bold")
        say_missing(axes, "not measured")
        return
    axes.set_title(f"{quantity}, {estimator_label(measured[0], quantity)}", loc="left", fontweight="bold")
    chosen = points.filter(pl.col("estimator") == measured[0]).sort("epoch", "layer_index")
    original = chosen.filter(pl.col("examples") == "original")
    column = f"{side}_drawn_bits"
    epochs = original["epoch"].unique().sort()
    paths = [original.filter(pl.col("epoch") == epoch).select("layer_index", column).to_numpy() for epoch in epochs]
    lines = LineCollection(paths, cmap=epoch_colours(), norm=norm, linewidths=0.9, label="original")
    lines.set_array(epochs.to_numpy())
    axes.add_collection(lines)
    attacked = chosen.filter(pl.col("examples") != "original", pl.col("epoch") == chosen["epoch"].max())
    for own in (original.filter(pl.col("epoch") == original["epoch"].max()), attacked):
        marker = "o" if own is not attacked else "x"
        axes.scatter(
            own["layer_index"], own[column], c=own["epoch"], cmap=epoch_colours(), norm=norm, marker=marker,
            s=12, linewidths=0.9, zorder=3,
        )  # fmt: skip
    ceiling = chosen[f"{side}_ceiling_bits"].max()
    if ceiling is not None:
        axes.axhline(ceiling, **CEILING)  # type: ignore[arg-type]
    axes.autoscale_view()
    axes.margins(x=0.06)
    axes.set(xlabel="layer index", ylabel="bits", xticks=chosen["layer_index"].unique().sort())


def flow_title(study: str, training: str, seed: int) -> str:
    """Return the line above the figure."""
    return f"Information flow, {training_label(training)}, seed {seed} ({study})"
