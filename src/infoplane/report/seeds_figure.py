"""Figures of several seeds: lines are means over seeds, bands go from the lowest to the highest seed."""

import math
from collections.abc import Sequence
from itertools import product

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.records.tables import INPUT_INFORMATION, KDE_BD, KDE_KL, LABEL_INFORMATION
from infoplane.report.bits import examples_of, layers_of, trainings_of
from infoplane.report.examples import examples_look
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import (
    RELATIVE,
    TRUSTED,
    TRUSTED_FIXED,
    curve_label,
    curve_order,
    estimator_label,
    examples_label,
    training_label,
)
from infoplane.report.nothing_to_see import one_epoch
from infoplane.report.recorded import Recorded
from infoplane.report.style import (
    CEILING,
    COLOURS,
    align_epochs,
    epoch_axis,
    layer_grid,
    new_figure,
    plain,
    say_missing,
)

# Values on which verdicts rest; then Monte Carlo values, and values at the fixed noise of the study.
_PANELS = (
    ("input", KDE_BD + RELATIVE), ("input", TRUSTED), ("input", TRUSTED_FIXED), ("input", KDE_KL),
    ("label", TRUSTED), ("label", TRUSTED_FIXED), ("label", KDE_KL),
)  # fmt: skip

SEEDS_INFORMATION = FigureSpec[Recorded](
    kind="seeds-information",
    caption=(
        "Both informations over epochs. Lines: means over seeds. Bands: from the lowest to the highest seed, which is "
        "no interval and grows with the number of seeds. All seeds use the same examples, so a band shows how much "
        "trainings differ and not how much the choice of examples matters. Findings rest on I(X;T) by the KDE lower "
        "bound at relative noise and on decoded I(T;Y)."
    ),
    draw=lambda own: (
        one_epoch(own.points["epoch"]) or seeds_figure(own.points, f"Both informations over epochs, {own.where}")
        if len(own.seeds) > 1
        else None
    ),
)

SEEDS_PERFORMANCE = FigureSpec[Recorded](
    kind="seeds-performance",
    caption="Accuracy and loss over epochs. Lines: means over seeds. Bands: from the lowest to the highest seed.",
    draw=lambda own: (
        one_epoch(own.performance["epoch"])
        or seeds_performance_figure(own.performance, f"Performance over epochs, {own.where}")
        if len(own.seeds) > 1
        else None
    ),
)


def seeds_figure(points: pl.DataFrame, title: str) -> Figure:
    """Draw both informations over epochs: a colour per training, a line style and marker per kind of examples.

    Args:
        points: rows of `bits.plane_points` of several seeds.
        title: stands above the figure.
    """
    layers = layers_of(points) or [(0, "no layer")]
    recorded = set(points["estimator"])
    panels = [panel for panel in _PANELS if panel[1] in recorded] or list(_PANELS[-1:])
    trainings, examples = _trainings(points), examples_of(points)
    figure, axes = layer_grid(title, layers, len(panels), 1.3)
    parts = points.partition_by("estimator", "layer_index", "training", "examples", as_dict=True)
    for row, (side, estimator) in enumerate(panels):
        for column, (index, _) in enumerate(layers):
            here = axes[row, column]
            own = points.filter(pl.col("estimator") == estimator, pl.col("layer_index") == index)
            if own.is_empty():
                say_missing(here, "not measured")
                continue
            for (rank, training), (style, kind) in product(enumerate(trainings), enumerate(examples)):
                curves = parts.get((estimator, index, training, kind), points.clear())
                draw_band(here, curves, f"{side}_drawn_bits", rank, style)
            ceiling = own[f"{side}_ceiling_bits"].max()
            if ceiling is not None:
                here.axhline(ceiling, **CEILING)
            epoch_axis(here, own["epoch"])
        quantity = INPUT_INFORMATION if side == "input" else LABEL_INFORMATION
        name = estimator_label(estimator, quantity).replace(", ", ",\n").replace(" (", "\n(")
        axes[row, 0].set_ylabel(f"{quantity}, bits\n{name}")
    align_epochs(axes)
    handles = _legend(trainings, [examples_label(name) for name in examples])
    figure.legend(handles=[*handles, Line2D([], [], label="ceiling", **CEILING)], loc="lower center", ncol=7)
    return figure


def seeds_performance_figure(performance: pl.DataFrame, title: str) -> Figure:
    """Draw accuracy and loss over epochs, with a line and a band over seeds.

    Args:
        performance: undistorted rows of several seeds.
        title: stands above the figure.
    """
    trainings = _trainings(performance)
    curves = sorted(performance.select("split", "examples").unique().rows(), key=lambda curve: curve_order(*curve))
    legend = _legend(trainings, [curve_label(*curve) for curve in curves])
    below = 0.16 * max(0, math.ceil(len(legend) / 4) - 2)  # lines of the legend in addition to two
    height = 3.2 + below
    figure = new_figure(title, 7.0, height)
    edges = {"left": 0.107, "right": 0.99, "top": 1 - 0.17 * 3.2 / height, "bottom": (0.24 * 3.2 + below) / height}
    axes = figure.add_gridspec(1, 2, wspace=0.2, **edges).subplots(squeeze=False)[0]
    for here, measure, name in zip(axes, ("accuracy", "loss"), ("Accuracy, %", "Loss, nats"), strict=True):
        here.set_title(name, loc="left", fontweight="bold")
        finite = performance.filter(pl.col(measure).is_finite()).with_columns(accuracy=100 * pl.col("accuracy"))
        for (rank, training), (style, (split, examples)) in product(enumerate(trainings), enumerate(curves)):
            own = finite.filter(training=training, split=split, examples=examples)
            draw_band(here, own, measure, rank, style)
        if measure == "loss" and not finite.is_empty() and finite["loss"].min() > 0:  # type: ignore[operator]
            here.set_yscale("log")
            here.yaxis.set_major_formatter("{x:g}")
        here.set_xlabel("completed epochs")
        epoch_axis(here, finite["epoch"])
    figure.legend(handles=legend, loc="lower center", ncol=4)
    return figure


def draw_band(axes: Axes, curves: pl.DataFrame, value: str, rank: int, style: int) -> None:
    """Draw the mean over seeds of column `value`, and the band from the lowest to the highest seed."""
    if curves.is_empty():
        return
    over = curves.group_by("epoch").agg(
        mean=pl.col(value).mean(), low=pl.col(value).min(), high=pl.col(value).max()
    ).sort("epoch")  # fmt: skip
    colour = COLOURS[rank % len(COLOURS)]
    axes.fill_between(over["epoch"], over["low"], over["high"], color=colour, alpha=0.2, linewidth=0.3, zorder=1)
    line, marker, _ = examples_look(style)
    axes.plot(
        over["epoch"], over["mean"], color=colour, linestyle=line, marker=marker,
        markersize=2.5, markevery=max(1, len(over) // 12), linewidth=1.0,
    )  # fmt: skip


def _trainings(rows: pl.DataFrame) -> list[str]:
    return list(dict.fromkeys(training for _, training in trainings_of(rows)))


def _legend(trainings: Sequence[str], styles: Sequence[str]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=COLOURS[rank % len(COLOURS)], label=plain(training_label(training)))
        for rank, training in enumerate(trainings)
    ]
    handles += [
        Line2D([], [], color="#333333", linestyle=examples_look(rank).line,
               marker=examples_look(rank).marker, markersize=3, label=plain(name))
        for rank, name in enumerate(styles)
    ]  # fmt: skip
    return [*handles, Patch(color="#333333", alpha=0.2, linewidth=0, label="lowest to highest seed")]
