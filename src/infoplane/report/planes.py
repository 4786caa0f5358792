"""Draw information planes: the path of one layer over epochs, by one estimator."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from infoplane.records.tables import ADVERSARIAL, ORIGINAL, PIXELS_INDEX, RANDOM
from infoplane.report.examples import attacks_of, examples_look
from infoplane.report.labels import examples_label
from infoplane.report.nothing_to_see import corner, planes_at_ceiling
from infoplane.report.style import CEILING, NULL_COLOUR, epoch_colours, plain, say_constant, say_missing, title_layer

_CLIPPED: dict[str, Any] = {
    "marker": "s",
    "s": 34,
    "facecolors": "none",
    "edgecolors": "#C0392B",
    "linewidths": 0.8,
    "zorder": 5,
}
_OPEN: dict[str, Any] = {"facecolors": "none", "edgecolors": "#222222", "linewidths": 0.7, "zorder": 5}
_RANDOM_WEIGHTS: dict[str, Any] = {**_OPEN, "marker": "D", "s": 40}
_PIXELS: dict[str, Any] = {**_OPEN, "marker": "*", "s": 48}
_NEAR = 0.7  # of the ceiling: it is drawn if values reach so far
_HALO = [withStroke(linewidth=1.6, foreground="white")]


def draw_plane(axes: Axes, points: pl.DataFrame, index: int, norm: Normalize, examples: Sequence[str]) -> None:
    """Draw one layer's path under one estimator: original examples as circles, then a marker for each attack.

    Baselines are a diamond around epoch 0, whose weights are random, and a star for the raw pixels.

    Args:
        points: rows of `bits.plane_points` of one seed, training and estimator.
        index: of the layer.
        norm: from epochs to colours.
        examples: all kinds of examples in the figure, in order.
    """
    everything, pixels = points, points.filter(pl.col("layer_index") == PIXELS_INDEX)
    points = points.filter(pl.col("layer_index") == index)
    if points.is_empty():
        say_missing(axes, "not measured")
        return
    if planes_at_ceiling(points) and (pixels.is_empty() or planes_at_ceiling(pixels)):
        say_constant(axes, f"all points at both ceilings,\n{corner(points)}")
        return
    _draw_baselines(axes, points, pixels)
    _draw_null(axes, points)
    _draw_ceilings(axes, points, everything)
    for rank, name in enumerate(examples):
        chosen = points.filter(pl.col("examples") == name)
        marker, original = examples_look(rank).marker, name == ORIGINAL
        if chosen.is_empty():
            continue
        axes.scatter(
            chosen["input_drawn_bits"],
            chosen["label_drawn_bits"],
            c=chosen["epoch"],
            cmap=epoch_colours(),
            norm=norm,
            marker=marker,
            s=22 if original else 11,
            linewidths=0.9 if marker == "x" else 0,
            alpha=0.7 if original else 1.0,
            zorder=3 if original else 4,
            label=name,
            path_effects=None if original else _HALO,  # a cross on its own circle stays visible
            clip_on=False,
        )
    clipped = points.filter(pl.col("input_clipped") | pl.col("label_clipped"))
    if not clipped.is_empty():
        axes.scatter(clipped["input_drawn_bits"], clipped["label_drawn_bits"], **_CLIPPED, label="clipped")


def draw_plane_row(
    row: Sequence[Axes],
    points: pl.DataFrame,
    layers: Sequence[tuple[int, str]],
    norm: Normalize,
    name: str,
    examples: Sequence[str],
) -> None:
    """Draw the planes of one estimator, one per layer, with the same limits; unused axes are hidden.

    Args:
        row: axes from left to right.
        points: rows of `bits.plane_points` of one seed, training and estimator.
        layers: (index, name); empty if nothing was measured.
        norm: maps epochs to colours.
        name: name of the estimator, shown beside the first plane.
        examples: all kinds of examples in the figure, in order.
    """
    for column, axes in enumerate(row):
        if column >= max(1, len(layers)):
            axes.set_axis_off()
            continue
        index, layer = layers[column] if layers else (0, "no layer")
        draw_plane(axes, points, index, norm, examples)
        title_layer(axes, layer)
        if column == 0:
            axes.set_ylabel(f"{name}\nI(T;Y), bits")
        if not points.is_empty():
            axes.set(xlim=plane_limits(points, "input"), ylim=plane_limits(points, "label"))
            axes.yaxis.set_visible(column == 0)


def _draw_baselines(axes: Axes, points: pl.DataFrame, pixels: pl.DataFrame) -> None:
    """Mark the random network of epoch 0 and the raw pixels, on original examples."""
    random = points.filter(pl.col("epoch") == 0)
    for rows, look, label in ((random, _RANDOM_WEIGHTS, "random weights"), (pixels, _PIXELS, "pixels")):
        own = rows.filter(pl.col("examples") == ORIGINAL)
        axes.scatter(own["input_drawn_bits"], own["label_drawn_bits"], **look, label=label, clip_on=False)


def _draw_null(axes: Axes, points: pl.DataFrame) -> None:
    nulls = points["label_null_bits"].drop_nulls().to_list()
    if not nulls:
        return
    # The null differs between epochs: below the lower edge a value is null-like at all epochs, below the upper at some.
    for edge in (min(nulls), max(nulls)):
        axes.axhspan(0, max(edge, 0), color=NULL_COLOUR, alpha=0.3, linewidth=0, zorder=0, label="null")


def _draw_ceilings(axes: Axes, points: pl.DataFrame, everything: pl.DataFrame) -> None:
    """Draw the ceilings, or say where they are if they lie beyond the limits of the planes of `everything`."""
    grey: dict[str, Any] = {"color": "#555555", "va": "bottom"}
    for ceiling in points["input_ceiling_bits"].drop_nulls().sort()[-1:]:
        if ceiling <= plane_limits(everything, "input")[1]:
            axes.axvline(ceiling, **CEILING, label="ceiling of I(X;T)")
            axes.text(ceiling, 0.02, f"max {ceiling:.2f} ", ha="right", transform=axes.get_xaxis_transform(), **grey)
        else:
            axes.text(0.99, 0.02, f"max {ceiling:.2f} →", ha="right", transform=axes.transAxes, **grey)
    for ceiling in points["label_ceiling_bits"].drop_nulls().sort()[-1:]:
        if ceiling <= plane_limits(everything, "label")[1]:
            axes.axhline(ceiling, **CEILING, label="H(Y)")
            axes.text(0.02, ceiling, f"H(Y) {ceiling:.2f}", ha="left", transform=axes.get_yaxis_transform(), **grey)
        else:
            axes.text(0.02, 0.99, f"H(Y) {ceiling:.2f} ↑", ha="left", transform=axes.transAxes, **{**grey, "va": "top"})


def is_near(highest: float, ceiling: float) -> bool:
    """Return whether values up to `highest` come so near to the ceiling that it is drawn with them."""
    return highest >= _NEAR * ceiling


def interval_ends(points: pl.DataFrame, side: str) -> tuple[list[float], list[float]]:
    """Return the ends of the 95 % intervals of "input" or "label", between 0 and the ceiling.

    Saturated values have no interval: both ends are then where the value is drawn.
    """
    drawn, ceiling = pl.col(f"{side}_drawn_bits"), pl.col(f"{side}_ceiling_bits")
    low, high = points.select(pl.col(f"{side}_{end}_bits").clip(0, ceiling).fill_null(drawn) for end in ("low", "high"))
    return low.to_list(), high.to_list()


def plane_limits(points: pl.DataFrame, side: str) -> tuple[float, float]:
    """Return limits that include every drawn value, and the ceiling if it is near; planes of one estimator share them.

    A ceiling far above the values would press them into a corner.
    """
    values = points[f"{side}_drawn_bits"].drop_nulls().to_list()
    if not values:
        return (0.0, 1.0)
    low, high = min(values), max(values)
    ceiling = points[f"{side}_ceiling_bits"].max()
    if ceiling is not None and is_near(high, float(ceiling)):  # type: ignore[arg-type]
        high = max(high, float(ceiling))  # type: ignore[arg-type]
    if side == "label":
        low = 0.0  # the null begins at 0
    margin = 0.06 * max(high - low, 0.1)
    return (low - margin, high + (3 * margin if side == "label" else margin))


def baseline_legend() -> list[Line2D]:
    """Return the legend handles of the baselines in a plane."""
    return [
        Line2D([], [], marker=look["marker"], color=look["edgecolors"], markerfacecolor="none", linestyle="none",
               markersize=look["s"] ** 0.5 * 0.9, markeredgewidth=look["linewidths"], label=label)
        for look, label in ((_RANDOM_WEIGHTS, "epoch 0: random weights"), (_PIXELS, "raw pixels"))
    ]  # fmt: skip


def plane_legend(points: pl.DataFrame) -> list[Line2D | Patch]:
    """Return the legend handles of the planes of `bits.plane_points`."""
    grey: dict[str, Any] = {"color": "#333333", "linestyle": "none", "markersize": 4.5}
    examples = set(points["examples"])
    kinds = [ORIGINAL, *(attacks_of(examples) or [ADVERSARIAL]), *([RANDOM] if RANDOM in examples else [])]
    return [
        *(
            Line2D([], [], marker=examples_look(rank).marker, label=plain(examples_label(name)), **grey)
            for rank, name in enumerate(kinds)
        ),
        *baseline_legend(),
        Line2D([], [], label="ceiling", **CEILING),
        Patch(color=NULL_COLOUR, alpha=0.5, linewidth=0, label="within the null of I(T;Y) (dark: at every epoch)"),
        Line2D([], [], marker="s", color="#C0392B", markerfacecolor="none", linestyle="none", label="drawn clipped"),
    ]
