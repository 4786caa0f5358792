"""Figures of study two: accuracy and information over the levels of distortions, for all trainings."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from infoplane.distortions import distortion_named
from infoplane.records.tables import DECODED, DECODED_TRANSFER, INPUT_INFORMATION, KDE_BD, LABEL_INFORMATION, NOISY
from infoplane.report.bits import distortions_of, examples_of, layers_of, level_label, noisy_name, trainings_of
from infoplane.report.examples import examples_look
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import RELATIVE, examples_label, training_label
from infoplane.report.recorded import Recorded
from infoplane.report.style import (
    CEILING,
    COLOURS,
    PAGE_INCHES,
    hide_inner_axes,
    new_figure,
    plain,
    say_missing,
    stacked,
    title_layer,
)

_HATCHES = ("////", "\\\\\\\\", "....", "||||")
_BELOW = -0.5  # share of the ceiling: decoders that are confidently wrong by more are drawn there, as triangles
_QUANTILE = 1.96  # quantile of 97.5 %


class _Panel(NamedTuple):
    quantity: str
    estimator: str
    name: str
    signed: bool = False  # whether values below 0 are drawn


_OF_ALL_LAYERS = (
    _Panel(INPUT_INFORMATION, KDE_BD, "KDE (BD)"),
    _Panel(INPUT_INFORMATION, KDE_BD + RELATIVE, "KDE (BD),\nrelative noise"),
    _Panel(LABEL_INFORMATION, KDE_BD, "KDE (BD-BD)"),
    _Panel(LABEL_INFORMATION, DECODED_TRANSFER, "decoded,\ntrained on\nundistorted", signed=True),
)

DISTORTION = FigureSpec[Recorded](
    kind="distortion",
    per="seed",
    section="distortion",
    caption=(
        "Accuracy, loss and both informations of the last layer over the levels of each distortion. The first level "
        "changes nothing, and distances between levels mean nothing. Colour: training, the first one's lines wider. "
        "Solid: original examples; dashed: attacked ones (attacked first, then distorted). Pale: 95 % intervals over "
        "the examples, of this one seed; the loss has none. Saturated values (at the dashed ceiling) have no interval "
        "and cannot be compared. Relative noise is relative to the undistorted examples. Refitted decoders show "
        "whether the label can still be read from the layer; on attacked examples they also read traces of the attack. "
        "Decoders trained on undistorted clean examples show whether the network still encodes the label as before; "
        "they fall below 0 where they are confidently wrong."
    ),
    draw=lambda own: _distortion(own),
)

DISTORTION_LAYERS = FigureSpec[Recorded](
    kind="distortion-layers",
    per="distortion",
    section="distortion",
    caption=(
        "Both informations over the levels of a distortion, layer by layer: the lower bound of KDE, which the study "
        "drew, at fixed and at relative noise (relative to the undistorted examples, so the noise is the same at every "
        "level), and what decoders trained on undistorted clean examples read from distorted examples that they were "
        "not fitted on. A level that spreads the outputs of a layer raises I(X;T) and the BD-BD estimate of I(T;Y) "
        "without making the layer more predictive of the label, so compare them with the null and the decoders."
    ),
    draw=lambda own: _distortion_layers(own),
)


def _distortion(own: Recorded) -> Figure | None:
    if own.distorted_performance.is_empty():
        return None
    title = f"Distorted examples, information of the last layer, {own.where}"
    return distortion_figure(own.distorted, own.distorted_performance, title)


def _distortion_layers(own: Recorded) -> Figure | None:
    if own.distorted.is_empty() or own.distortion is None:
        return None
    title = f"Both informations under {own.distortion}, layer by layer, {own.where}"
    return distortion_layers_figure(own.distorted, own.distortion, title)


def _panels(rows: pl.DataFrame) -> tuple[_Panel, ...]:
    """Return the panels of the last layer, which also has Monte Carlo values and refitted decoders."""
    name = noisy_name(rows)
    noisy = _Panel(INPUT_INFORMATION, name, f"Monte Carlo,\n{'fixed' if name == NOISY else 'relative'} noise")
    refitted = _Panel(LABEL_INFORMATION, DECODED, "decoded,\nrefitted", signed=True)
    fixed, relative, label, moved = _OF_ALL_LAYERS
    return fixed, noisy, relative, label, refitted, moved


def distortion_figure(rows: pl.DataFrame, performance: pl.DataFrame, title: str) -> Figure:
    """Draw one seed, a column per distortion: accuracy, loss, and both informations of the last layer over the levels.

    Args:
        rows: as `bits.in_bits(..., of_distorted=True)` returns them.
        performance: of distorted examples, columns of `records.PERFORMANCE_SCHEMA`.
        title: stands above the figure.
    """
    levels = distortions_of(performance)
    last = rows.filter(pl.col("layer_index") == pl.col("layer_index").max())
    columns = [(name, f"{name}: destroys {distortion_named(name).destroys}") for name in levels]
    panels = _panels(rows)
    figure, axes = _grid(title, [head for _, head in columns], 2 + len(panels))
    keys = _Keys(trainings_of(performance), examples_of(performance, control=True))
    for column, (name, _) in enumerate(columns):
        own = performance.filter(pl.col("distortion") == name)
        _draw_performance(axes[0, column], own, levels[name], keys, "accuracy")
        _draw_performance(axes[1, column], own, levels[name], keys, "loss")
        measured = last.filter(pl.col("distortion") == name)
        for row, panel in enumerate(panels, start=2):
            _draw_information(axes[row, column], measured, levels[name], keys, panel)
        axes[-1, column].set_xlabel(distortion_named(name).level)
    axes[0, 0].set_ylabel("accuracy, %")
    axes[1, 0].set_ylabel("loss, nats")
    for row, panel in enumerate(panels, start=2):
        axes[row, 0].set_ylabel(f"{panel.quantity}, bits\n{panel.name}")
    figure.align_ylabels(axes[:, 0])
    figure.legend(handles=_legend(keys), loc="lower center", ncol=5, columnspacing=1.2)
    return figure


def distortion_layers_figure(rows: pl.DataFrame, distortion: str, title: str) -> Figure:
    """Draw one seed and distortion, a column per layer: both informations over the levels.

    Args:
        rows: as `bits.in_bits(..., of_distorted=True)` returns them.
        distortion: which of them.
        title: stands above the figure.
    """
    rows = rows.filter(pl.col("distortion") == distortion)
    levels, layers = distortions_of(rows)[distortion], layers_of(rows)
    figure, axes = _grid(title, [""] * len(layers), len(_OF_ALL_LAYERS))
    keys = _Keys(trainings_of(rows), examples_of(rows, control=True))
    for column, (index, layer) in enumerate(layers):
        title_layer(axes[0, column], layer)
        measured = rows.filter(pl.col("layer_index") == index)
        for row, panel in enumerate(_OF_ALL_LAYERS):
            _draw_information(axes[row, column], measured, levels, keys, panel)
        axes[-1, column].set_xlabel(distortion_named(distortion).level)
    for row, panel in enumerate(_OF_ALL_LAYERS):
        axes[row, 0].set_ylabel(f"{panel.quantity}, bits\n{panel.name}")
    figure.align_ylabels(axes[:, 0])
    figure.legend(handles=_legend(keys), loc="lower center", ncol=5, columnspacing=1.2)
    return figure


class _Keys:
    """Legend of a figure: colour by training, line and marker by kind of examples."""

    def __init__(self, trainings: Sequence[tuple[int, str]], examples: Sequence[str]) -> None:
        self.trainings = [training for _, training in trainings]
        self.examples = list(examples)

    def style(self, training: str, examples: str) -> dict[str, Any]:
        line, marker, _ = examples_look(self.examples.index(examples))
        size = stacked(self.trainings.index(training), len(self.trainings))
        return {"color": self.colour(training), "linestyle": line, "marker": marker, **size}

    def width(self, training: str) -> float:
        return stacked(self.trainings.index(training), len(self.trainings))["linewidth"]

    def colour(self, training: str) -> str:
        return COLOURS[self.trainings.index(training) % len(COLOURS)]

    def null(self, training: str) -> dict[str, Any]:
        """Return the style of a training's null; each has its own hatching, so that colour is not needed."""
        hatch = _HATCHES[self.trainings.index(training) % len(_HATCHES)]
        return {"facecolor": "none", "edgecolor": self.colour(training), "hatch": hatch, "alpha": 0.55, "linewidth": 0}

    def curves(self) -> list[tuple[str, str]]:
        return [(training, examples) for training in self.trainings for examples in self.examples]


def _grid(title: str, heads: Sequence[str], rows: int) -> tuple[Figure, Any]:
    width = max(0.75 * PAGE_INCHES[0], 1.05 + 1.9 * len(heads))
    height = 1.45 + 1.18 * rows
    figure = new_figure(title, width, height)
    edges = {"left": 0.95 / width, "right": 1 - 0.1 / width, "top": 1 - 0.5 / height, "bottom": 0.95 / height}
    grid = figure.add_gridspec(rows, len(heads), hspace=0.16, wspace=0.08, **edges)
    axes = grid.subplots(squeeze=False, sharex="col", sharey="row")
    hide_inner_axes(axes)
    for column, head in enumerate(heads):
        axes[0, column].set_title(plain(head), loc="left", fontweight="bold")
    return figure, axes


def _places(rows: pl.DataFrame, levels: list[float]) -> list[int]:
    return [levels.index(level) for level in rows["level"]]


def _level_axis(axes: Axes, levels: list[float]) -> None:
    """Place the levels at equal distances on the x axis."""
    axes.set_xticks(range(len(levels)), [level_label(level) for level in levels])
    axes.set_xlim(-0.25, len(levels) - 0.75)


def _of(rows: pl.DataFrame, levels: list[float], training: str, examples: str) -> pl.DataFrame:
    own = rows.filter(pl.col("training") == training, pl.col("examples") == examples)
    return own.sort(pl.col("level").replace_strict(levels, range(len(levels)), return_dtype=pl.Int64))


def _draw_performance(axes: Axes, rows: pl.DataFrame, levels: list[float], keys: _Keys, measure: str) -> None:
    _level_axis(axes, levels)
    for training, examples in keys.curves():
        own = _of(rows, levels, training, examples).filter(pl.col(measure).is_finite())
        scale = 100 if measure == "accuracy" else 1
        places, values = _places(own, levels), own[measure] * scale
        axes.plot(places, values, label=f"{training}/{examples}", **keys.style(training, examples))
        if measure == "accuracy":
            error = _QUANTILE * 100 * (own["accuracy"] * (1 - own["accuracy"]) / own["n"]).sqrt()
            axes.fill_between(
                places, values - error, values + error, color=keys.colour(training), alpha=0.18, linewidth=0
            )
            lent = own.filter(pl.col("texture_accuracy").is_not_null())
            if not lent.is_empty():  # cue conflict: the class of the texture as well as that of the shape
                style = {**keys.style(training, examples), "linestyle": ":", "linewidth": 0.9, "markersize": 2}
                axes.plot(_places(lent, levels), 100 * lent["texture_accuracy"], label="_texture", **style)
                axes.set_title("dotted: predicted as the texture's class", loc="right", fontsize=6, y=0.0)
    if measure == "accuracy":
        axes.set(ylim=(0, 103), yticks=(0, 25, 50, 75, 100))
    elif (rows["loss"] > 0).all():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 3), numticks=6))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())


def _draw_information(axes: Axes, rows: pl.DataFrame, levels: list[float], keys: _Keys, panel: _Panel) -> None:
    """Draw one estimate with its 95 % intervals, its null and its ceiling."""
    _level_axis(axes, levels)
    rows = rows.filter(pl.col("quantity") == panel.quantity, pl.col("estimator") == panel.estimator)
    if rows.is_empty():
        say_missing(axes, "not measured")
        return
    ceiling = rows["ceiling_bits"].max()
    top = math.inf if ceiling is None else float(ceiling)  # type: ignore[arg-type]
    floor = _BELOW * top if panel.signed else 0.0
    for training, examples in keys.curves():
        own = _of(rows, levels, training, examples)
        places, style = _places(own, levels), keys.style(training, examples)
        axes.plot(places, own["value_bits"].clip(floor, top), label=f"{training}/{examples}", **style)
        axes.fill_between(
            places,
            own["drawn_low_bits"].clip(floor, top).to_numpy(),
            own["drawn_high_bits"].clip(floor, top).to_numpy(),
            color=style["color"],
            alpha=0.18,
            linewidth=0,
            label="interval",
        )
        below = own.filter(pl.col("value_bits") < floor)
        if panel.signed and not below.is_empty():
            marks: dict[str, Any] = {"color": style["color"], "markersize": 5, "fillstyle": "none", "label": "below"}
            axes.plot(_places(below, levels), [floor] * len(below), "v", **marks)
    for training in keys.trainings:
        # one band for all examples, up to the highest of their nulls at each level
        own = rows.filter(pl.col("training") == training, pl.col("null_bits").is_not_null())
        null = _of(
            own.group_by("training", "level").agg(pl.col("null_bits").max(), examples=pl.lit("")), levels, training, ""
        )
        if not null.is_empty():
            look = keys.null(training)
            axes.fill_between(_places(null, levels), 0, null["null_bits"].clip(0), zorder=0, label="null", **look)
    if math.isfinite(top):
        axes.axhline(top, **CEILING)
    if panel.signed:
        axes.axhline(0, color="#555555", linewidth=0.5, zorder=1)
        axes.set_ylim(floor - 0.06 * top, 1.08 * top)
    else:
        axes.set_ylim(0, 1.08 * top if math.isfinite(top) else None)


def _legend(keys: _Keys) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D(
            [], [], color=keys.colour(training), linewidth=keys.width(training), label=plain(training_label(training))
        )
        for training in keys.trainings
    ]
    for rank, examples in enumerate(keys.examples):
        look = {**examples_look(rank).style(), "color": "#333333", "markersize": 3}
        handles.append(Line2D([], [], label=plain(examples_label(examples)), **look))
    handles.append(Patch(color="#333333", alpha=0.18, linewidth=0, label="95 % interval"))
    handles += [
        Patch(label=plain(f"null, {training_label(training)}"), **keys.null(training)) for training in keys.trainings
    ]
    handles.append(Line2D([], [], label="ceiling", **CEILING))
    below: dict[str, Any] = {"marker": "v", "linestyle": "none", "fillstyle": "none", "markersize": 5}
    handles.append(Line2D([], [], color="#333333", label="below the axis", **below))
    return handles
