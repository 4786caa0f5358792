"""Figure of the geometry of the layers' outputs over epochs: scale, variance, clustering and CKA."""

from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from infoplane.records.tables import FIXED_NOISE
from infoplane.report.bits import examples_of, layers_of, trainings_of
from infoplane.report.examples import examples_look
from infoplane.report.figure import FigureSpec, NothingToSee
from infoplane.report.labels import examples_label, training_label
from infoplane.report.nothing_to_see import one_epoch
from infoplane.report.recorded import Recorded
from infoplane.report.style import COLOURS, align_epochs, epoch_axis, layer_grid, log_axis, plain, say_missing

_ROWS = {
    "activation_norm": "activation\nnorm",
    "mean_unit_variance": "mean variance\nper unit",
    "class_clustering_index": "class clustering\nindex",
    "cka_with_original": "CKA with\noriginal",
}
_LOGARITHMIC = ("activation_norm", "mean_unit_variance")
_FIXED: dict[str, Any] = {"color": "#555555", "linewidth": 0.8, "linestyle": (0, (1, 1.5)), "zorder": 1}

GEOMETRY = FigureSpec[Recorded](
    kind="geometry",
    per="seed",
    caption=(
        "Root mean square norm of the activations, mean variance per unit (dotted: the fixed noise variance), class "
        "clustering index (the share of the variance between classes, 0 by chance), and debiased linear CKA of "
        "attacked with original examples, over epochs. Information measured with fixed noise follows the scale of the "
        "activations, so compare it with these curves."
    ),
    draw=lambda own: _geometry(own),
)


def _geometry(own: Recorded) -> Figure | NothingToSee | None:
    if own.geometry.is_empty():
        return None
    if nothing := one_epoch(own.geometry["epoch"]):
        return nothing
    fixed = own.rows.filter(pl.col("noise_mode") == FIXED_NOISE)["noise_variance"].unique().to_list()
    return geometry_figure(own.geometry, fixed, f"Geometry of the layers over epochs, {own.where}")


def geometry_figure(geometry: pl.DataFrame, noise_variances: list[float], title: str) -> Figure:
    """Draw the geometry of one seed over epochs: a colour per training, a line style per kind of examples.

    Args:
        geometry: undistorted test rows, columns of `records.GEOMETRY_SCHEMA`.
        noise_variances: fixed noise variances of the measurements, drawn beside the variance of the layers.
        title: stands above the figure.
    """
    layers = layers_of(geometry)
    trainings = [training for _, training in trainings_of(geometry)]
    examples = examples_of(geometry)
    handles = [
        Line2D([], [], color=COLOURS[rank % len(COLOURS)], label=plain(training_label(training)))
        for rank, training in enumerate(trainings)
    ]
    for rank, kind in enumerate(examples):
        handles.append(
            Line2D([], [], color="#333333", linestyle=examples_look(rank).line, label=plain(examples_label(kind)))
        )
    if noise_variances:
        handles.append(Line2D([], [], label="fixed noise variance", **_FIXED))
    figure, axes = layer_grid(title, layers, len(_ROWS), 1.25, handles)
    parts = geometry.sort("epoch").partition_by("layer_index", "training", "examples", as_dict=True)
    for row, (measure, name) in enumerate(_ROWS.items()):
        for column, (index, _) in enumerate(layers):
            curves = {
                (rank, style): parts[index, training, kind]
                for rank, training in enumerate(trainings)
                for style, kind in enumerate(examples)
                if (index, training, kind) in parts
            }
            _draw_curves(axes[row, column], curves, measure)
            if measure == "mean_unit_variance":
                for variance in noise_variances:
                    axes[row, column].axhline(variance, **_FIXED)
        axes[row, 0].set_ylabel(name)
    align_epochs(axes)
    return figure


def _draw_curves(axes: Axes, curves: dict[tuple[int, int], pl.DataFrame], measure: str) -> None:
    drawn = []
    for (rank, style), rows in curves.items():
        own = rows.filter(pl.col(measure).is_finite())
        if measure in _LOGARITHMIC:
            own = own.filter(pl.col(measure) > 0)  # a dead layer cannot be drawn on a logarithmic axis
        if own.is_empty():
            continue
        drawn += own["epoch"].to_list()
        axes.plot(
            own["epoch"], own[measure], color=COLOURS[rank % len(COLOURS)], linestyle=examples_look(style).line,
            marker=examples_look(style).marker if len(own) <= 2 else None, markersize=3,
            label=f"{rows['training'][0]}/{rows['examples'][0]}",
        )  # fmt: skip
    if not drawn:
        say_missing(axes, "not measured")
        return
    if measure in _LOGARITHMIC:
        axes.set_yscale("log")
        log_axis(axes.yaxis)
    epoch_axis(axes, drawn)
