"""The study's own figures, in its layout and with its estimators: no ceilings, nulls or intervals.

Figure 4: information during training. Figure 5: distorted examples, by the lower bound of KDE. Figure 6: clouds of
points. Figure 7: why noise is needed. They are for comparison with the paper; what a value is worth stands in ours.
"""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from infoplane.records.sweeps import CLOSED_FORM, CONTINUOUS_LIMIT, DISCRETE_LIMIT, PICTURES
from infoplane.records.tables import (
    ADVERSARIAL,
    BINNING,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    ORIGINAL,
)
from infoplane.report.bits import bits, distortions_of, layers_of, level_label, trainings_of
from infoplane.report.figure import FigureSpec
from infoplane.report.flow_figure import draw_over_depth, draw_performance
from infoplane.report.labels import STUDY_ESTIMATORS, training_label
from infoplane.report.recorded import Recorded
from infoplane.report.style import (
    COLOURS,
    PAGE_INCHES,
    epoch_bar,
    epoch_colours,
    epoch_norm,
    log_axis,
    new_figure,
    plain,
    say_missing,
    title_layer,
)
from infoplane.report.sweep_curves import Sweeps

_NAMES = {KDE_KL: "upper", KDE_BD: "lower", BINNING: "binning"}
_LOOKS: dict[str, tuple[str, Any]] = {ORIGINAL: ("o", "-"), ADVERSARIAL: ("x", "--")}
_DISTORTIONS = ("saturation", "shuffling")

FLOW = FigureSpec[Recorded](
    kind="figure-4",
    per="training",
    caption=(
        "The study's Figure 4. Top row: loss, accuracy, I(X;T) and I(T;Y) against the index of the layer. Below: the "
        "information planes of the upper and the lower estimate and of binning. Circles: original examples; crosses: "
        "adversarial ones; colour: epoch."
    ),
    draw=lambda own: None if own.points.is_empty() else flow(own.points, own.performance, f"Figure 4, {own.where}"),
)
DISTORTED = FigureSpec[Recorded](
    kind="figure-5",
    per="seed",
    caption=(
        "The study's Figure 5: accuracy, loss and both informations of the last layer, by the lower estimate of KDE, "
        "over the levels of saturation and of patch-shuffling."
    ),
    draw=lambda own: (
        None
        if own.distorted_performance.is_empty()
        else distorted(own.distorted, own.distorted_performance, f"Figure 5, {own.where}")
    ),
)
CLOUDS = FigureSpec[Sweeps](
    kind="figure-6",
    caption="The study's Figure 6: four clouds of points of the same classes, with its three estimates in bits.",
    draw=lambda sweeps: clouds(sweeps.measurements, sweeps.clouds),
)
NOISE_LIMITS = FigureSpec[pl.DataFrame](
    kind="figure-7",
    caption=(
        "The study's Figure 7: I(X;T) of a discrete and of a continuous layer as the width b of the noise vanishes, in "
        "closed form."
    ),
    draw=lambda measurements: limits(measurements),
)


def flow(points: pl.DataFrame, performance: pl.DataFrame, title: str) -> Figure:
    """Draw one training of one seed.

    Args:
        points: rows of `bits.plane_points`.
        performance: rows of the same training, undistorted.
        title: stands above the figure.
    """
    points = points.filter(pl.col("examples").is_in(list(_LOOKS)))
    performance = performance.filter(pl.col("examples").is_in(list(_LOOKS)))
    layers, norm = layers_of(points), epoch_norm(points["epoch"])
    points = points.filter(pl.col("layer_index").is_in([index for index, _ in layers]))
    width, height = max(PAGE_INCHES[0], 1.7 * len(layers)), PAGE_INCHES[1]
    figure = new_figure(title, width, height)
    edges = {"left": 0.75 / width, "right": 1 - 0.85 / width, "top": 1 - 0.48 / height, "bottom": 0.6 / height}
    grid = figure.add_gridspec(4, 1, hspace=0.5, **edges)
    first = grid[0].subgridspec(1, 4, wspace=0.32).subplots(squeeze=False)[0]
    draw_performance(first[0], performance, "loss")
    draw_performance(first[1], performance, "accuracy")
    draw_over_depth(first[2], points, "input", norm, ceilings=False)
    draw_over_depth(first[3], points, "label", norm, ceilings=False)
    for row, estimator in enumerate(STUDY_ESTIMATORS, start=1):
        axes = grid[row].subgridspec(1, len(layers), wspace=0.12).subplots(squeeze=False, sharex=True, sharey=True)[0]
        for place, (index, layer) in zip(axes, layers, strict=True):
            own = points.filter(pl.col("estimator") == estimator, pl.col("layer_index") == index)
            for examples, (marker, _) in _LOOKS.items():
                chosen = own.filter(pl.col("examples") == examples)
                place.scatter(
                    chosen["input_value_bits"], chosen["label_value_bits"], c=chosen["epoch"], norm=norm,
                    cmap=epoch_colours(), marker=marker, s=14, linewidths=0.9 if marker == "x" else 0, label=examples,
                )  # fmt: skip
            if own.is_empty():
                say_missing(place, "not measured")
            title_layer(place, layer)
            place.set_xlabel("I(X;T), bits" if row == len(STUDY_ESTIMATORS) else "")
        axes[0].set_ylabel(f"{_NAMES[estimator]}\nI(T;Y), bits")
    epoch_bar(figure, norm, (1 - 0.65 / width, edges["bottom"], 0.12 / width, 0.45))
    handles = [
        Line2D([], [], marker=marker, linestyle="none", color="#333333", label=f"{examples} examples")
        for examples, (marker, _) in _LOOKS.items()
    ]
    figure.legend(handles=handles, loc="lower center", ncol=2)
    return figure


def distorted(rows: pl.DataFrame, performance: pl.DataFrame, title: str) -> Figure:
    """Draw one seed, a column per distortion: accuracy, loss, and both informations of the last layer over the levels.

    Args:
        rows: as `bits.in_bits(..., of_distorted=True)` returns them.
        performance: of distorted examples, columns of `records.PERFORMANCE_SCHEMA`.
        title: stands above the figure.
    """
    levels = {name: found for name, found in distortions_of(performance).items() if name in _DISTORTIONS}
    last = rows.filter(
        pl.col("layer_index") == pl.col("layer_index").max(),
        pl.col("estimator") == KDE_BD,
        pl.col("class_index").is_null(),
    )
    measures = (
        ("accuracy, %", performance.with_columns(shown=100 * pl.col("accuracy"))),
        ("loss, nats", performance.with_columns(shown="loss")),
        ("I(X;T), bits", last.filter(pl.col("quantity") == INPUT_INFORMATION).with_columns(shown="value_bits")),
        ("I(T;Y), bits", last.filter(pl.col("quantity") == LABEL_INFORMATION).with_columns(shown="value_bits")),
    )
    trainings = [training for _, training in trainings_of(performance)]
    width, height = 1.2 + 3.2 * max(1, len(levels)), 7.5
    figure = new_figure(title, width, height)
    edges = {"left": 0.75 / width, "right": 1 - 0.1 / width, "top": 1 - 0.6 / height, "bottom": 0.95 / height}
    grid = figure.add_gridspec(len(measures), max(1, len(levels)), hspace=0.2, wspace=0.12, **edges)
    axes = grid.subplots(squeeze=False, sharex="col", sharey="row")
    for column, (name, places) in enumerate(levels.items()):
        axes[0, column].set_title(name, loc="left", fontweight="bold")
        for row, (label, table) in enumerate(measures):
            _over_levels(axes[row, column], table.filter(pl.col("distortion") == name), places, trainings)
            axes[row, 0].set_ylabel(label)
        axes[-1, column].set_xlabel("level")
    handles = [
        Line2D([], [], color=COLOURS[rank % len(COLOURS)], linestyle=line, marker=marker, markersize=3,
               label=plain(f"{training_label(training)}, {examples} examples"))
        for rank, training in enumerate(trainings)
        for examples, (marker, line) in _LOOKS.items()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncol=2)
    return figure


def _over_levels(axes: Axes, rows: pl.DataFrame, levels: Sequence[float], trainings: Sequence[str]) -> None:
    places = {level: place for place, level in enumerate(levels)}
    for rank, training in enumerate(trainings):
        for examples, (marker, line) in _LOOKS.items():
            own = rows.filter(pl.col("training") == training, pl.col("examples") == examples)
            curve = sorted((places[level], value) for level, value in own.select("level", "shown").rows())
            axes.plot(
                [place for place, _ in curve], [value for _, value in curve], color=COLOURS[rank % len(COLOURS)],
                linestyle=line, marker=marker, markersize=3, label=f"{training}/{examples}",
            )  # fmt: skip
    axes.set_xticks(range(len(levels)), [level_label(level) for level in levels])


def clouds(measurements: pl.DataFrame, points: pl.DataFrame) -> Figure:
    """Draw the four clouds, with the study's estimates of the first draw above each.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`.
        points: picture, x, y and label of the points of one draw.
    """
    rows = measurements.filter(pl.col("sweep") == PICTURES, pl.col("replicate") == 0)
    pictures = rows["x"].unique().sort().to_list()
    figure = new_figure("Figure 6: four clouds of the same classes", PAGE_INCHES[0], 3.6)
    axes = figure.add_gridspec(1, len(pictures), left=0.05, right=0.99, top=0.68, bottom=0.05).subplots(squeeze=False)
    for place, picture in zip(axes[0], pictures, strict=True):
        for (label,), own in points.filter(pl.col("picture") == int(picture)).group_by("label", maintain_order=True):
            place.plot(own["x"], own["y"], ".", markersize=2, color=COLOURS[int(str(label)) % len(COLOURS)])
        found = {
            (row["estimator"], row["quantity"]): row["value_nats"] / math.log(2)
            for row in rows.filter(pl.col("x") == picture).to_dicts()
        }
        lines = [
            f"{_NAMES[name]}: I(X;T) {found[name, INPUT_INFORMATION]:.2f}, I(T;Y) {found[name, LABEL_INFORMATION]:.2f}"
            for name in STUDY_ESTIMATORS
        ]
        place.set_title("\n".join(lines), loc="left")
        place.set(aspect="equal", xticks=[], yticks=[])
    return figure


def limits(measurements: pl.DataFrame) -> Figure:
    """Draw I(X;T) in closed form against the width of the noise.

    Args:
        measurements: columns of `sweeps.SWEEP_SCHEMA`, as the study of the limits fills them.
    """
    exact = measurements.filter(estimator=CLOSED_FORM, quantity=INPUT_INFORMATION).sort("x")
    figure = new_figure("Figure 7: I(X;T) as the noise vanishes", 7.0, 2.8)
    axes = figure.add_gridspec(1, 2, left=0.09, right=0.98, top=0.78, bottom=0.17).subplots(squeeze=False)[0]
    for place, (sweep, name) in zip(
        axes, ((DISCRETE_LIMIT, "discrete layer"), (CONTINUOUS_LIMIT, "continuous layer")), strict=True
    ):
        curve = exact.filter(sweep=sweep).with_columns(shown=bits(pl.col("value_nats")))
        place.plot(curve["x"], curve["shown"], color=COLOURS[0], label=sweep)
        place.set_xscale("log")
        log_axis(place.xaxis)
        place.set_title(name, loc="left", fontweight="bold")
        place.set(xlabel="width b of the noise", ylabel="I(X;T), bits")
    return figure
