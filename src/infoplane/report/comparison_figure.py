"""All trainings of one seed side by side: both informations over epochs, layer by layer."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.records import INPUT_INFORMATION, LABEL_INFORMATION
from infoplane.report.bits import examples_of, layers_of, trainings_of
from infoplane.report.labels import STUDY_ESTIMATORS, estimator_label, training_label
from infoplane.report.style import CEILING, COLOURS, LINES, PAGE_INCHES, epoch_axis, plain, say_missing, title_layer


def comparison_figure(points: pl.DataFrame, title: str) -> Figure:
    """Draw I(X;T) and I(T;Y) over epochs: a colour per training, a line style per kind of examples.

    Args:
        points: rows of `bits.plane_points` of one seed.
        title: stands above the figure.
    """
    layers = layers_of(points) or [(0, "no layer")]
    trainings = [training for _, training in trainings_of(points)]
    examples = examples_of(points)
    panels = [(side, estimator) for side in ("input", "label") for estimator in STUDY_ESTIMATORS]
    width = max(PAGE_INCHES[0], 1.7 * len(layers))
    height = 1.2 + 1.12 * len(panels)
    figure = Figure(figsize=(width, height))
    figure.suptitle(plain(title), fontsize=9, x=0.075, y=1 - 0.1 / height, ha="left", va="top", fontweight="bold")
    grid = figure.add_gridspec(
        len(panels),
        len(layers),
        left=0.075,
        right=0.99,
        top=1 - 0.5 / height,
        bottom=0.8 / height,
        hspace=0.2,
        wspace=0.1,
    )
    axes = grid.subplots(squeeze=False, sharex=True, sharey="row")
    for row, (side, estimator) in enumerate(panels):
        quantity = INPUT_INFORMATION if side == "input" else LABEL_INFORMATION
        for column, (index, layer) in enumerate(layers):
            chosen = points.filter(pl.col("estimator") == estimator, pl.col("layer_index") == index)
            _draw_over_epochs(axes[row, column], chosen, side, trainings, examples)
            if row == 0:
                title_layer(axes[row, column], layer)
            if row == len(panels) - 1:
                axes[row, column].set_xlabel("completed epochs")
        axes[row, 0].set_ylabel(f"{quantity}, bits\n{estimator_label(estimator)}")
    handles: list[Line2D | Patch] = []
    for rank, training in enumerate(trainings):
        colour = COLOURS[rank % len(COLOURS)]
        handles.append(Line2D([], [], color=colour, label=plain(training_label(training))))
        handles.append(Patch(color=colour, alpha=0.18, linewidth=0, label="its null"))
    for rank, name in enumerate(examples):
        handles.append(Line2D([], [], color="#333333", linestyle=LINES[rank % 4], label=plain(f"{name} examples")))
    handles.append(Line2D([], [], label="ceiling", **CEILING))
    figure.legend(handles=handles, loc="lower center", ncol=8, columnspacing=1.4)
    return figure


def _draw_over_epochs(axes: Axes, points: pl.DataFrame, side: str, trainings: list[str], examples: list[str]) -> None:
    if points.is_empty():
        say_missing(axes, "not measured")
        return
    for rank, training in enumerate(trainings):
        colour = COLOURS[rank % len(COLOURS)]
        own = points.filter(pl.col("training") == training).sort("epoch")
        for style, name in enumerate(examples):
            curve = own.filter(pl.col("examples") == name)
            marker = "ox+1"[style % 4] if len(curve) <= 2 else None
            axes.plot(
                curve["epoch"], curve[f"{side}_drawn_bits"], color=colour, linestyle=LINES[style % 4], marker=marker,
                markersize=3, label=f"{training}/{name}",
            )  # fmt: skip
        if side == "label":
            # one band for all examples: at each epoch the highest of their nulls, so that none is understated
            null = own.filter(pl.col("label_null_bits").is_not_null())
            null = null.group_by("epoch").agg(pl.col("label_null_bits").max()).sort("epoch")
            axes.fill_between(
                null["epoch"], 0, null["label_null_bits"], color=colour, alpha=0.18, linewidth=0, zorder=0
            )
    ceiling = points[f"{side}_ceiling_bits"].max()
    if ceiling is not None:
        axes.axhline(ceiling, **CEILING)  # type: ignore[arg-type]
    epoch_axis(axes, points["epoch"])
