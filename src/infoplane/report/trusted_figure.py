"""Figure of the most trustworthy numbers: Monte Carlo I(X;T) and decoded I(T;Y), with intervals."""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.records.standing import NEAR_NATS
from infoplane.records.tables import (
    ADVERSARIAL,
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    NOISY,
    ORIGINAL,
    PIXELS_INDEX,
)
from infoplane.report.bits import layers_of, noisy_name, own_noise_layers, plane_points, trusted_planes
from infoplane.report.examples import attacks_of, examples_look, transferred_look
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import AT_OWN, OWN, RELATIVE
from infoplane.report.labels import TRUSTED as TRUSTED_PLANE
from infoplane.report.planes import baseline_legend, draw_plane, interval_ends, plane_limits
from infoplane.report.recorded import Recorded
from infoplane.report.style import (
    CEILING,
    NULL_COLOUR,
    PAGE_INCHES,
    epoch_axis,
    epoch_bar,
    epoch_colours,
    epoch_norm,
    hide_inner_axes,
    new_figure,
    plain,
    say_missing,
    title_layer,
)

_NEAR_BITS = NEAR_NATS / math.log(2)  # a Monte Carlo value within this distance of its ceiling is saturated
_SHORT: dict[str, Any] = {"facecolor": "none", "edgecolor": "#C8C8C8", "hatch": "//", "linewidth": 0, "zorder": 0}
_BOUND: dict[str, Any] = {"linewidth": 0.6, "linestyle": (0, (1, 1))}

TRUSTED = FigureSpec[Recorded](
    kind="trusted",
    per="training",
    caption=(
        "Top: information planes of the Monte Carlo estimate of I(X;T), at relative noise (at fixed noise in runs "
        "without it; in layers to which the network itself adds noise, at that noise), and decoded I(T;Y), which "
        "held-out decoders find. Below: each of the two over epochs. Bars are 95 % intervals. Hatched: within 3 nats "
        "of its ceiling the Monte Carlo estimate is too low, because there are too few examples. Grey: what permuted "
        "labels reach at the last epoch. Decoded I(T;Y) is a lower bound, usable (V-)information: it may grow with "
        "depth, and no data-processing inequality holds for it. Decoders refitted on attacked examples also read the "
        "label that a white-box attack leaks into the image. Decoders trained on clean examples do not; their value "
        "is negative where they are confidently wrong (triangles: below the axis)."
    ),
    draw=lambda own: _trusted(own),
)


def _trusted(own: Recorded) -> Figure | None:
    planes = trusted_planes(own.points)
    if planes is None:
        return None
    noise = "relative" if planes[0] == TRUSTED_PLANE else "fixed"
    title = f"Monte Carlo I(X;T) at {noise} noise and decoded I(T;Y), with 95 % intervals, {own.where}"
    return trusted_figure(own.rows, title)


def trusted_figure(rows: pl.DataFrame, title: str) -> Figure:
    """Draw one training of one seed, with a column per layer and 95 % intervals.

    The first row has the planes of Monte Carlo I(X;T) and decoded I(T;Y); the next rows have each of them over epochs.
    I(X;T) is that at relative noise, or at the fixed noise if there is no other.

    Args:
        rows: as `bits.in_bits` returns them.
        title: stands above the figure.
    """
    noisy = noisy_name(rows)
    noise = noisy.removeprefix(NOISY)
    points = plane_points(rows).filter(pl.col("estimator") == f"{noisy}+{DECODED}")
    layers, of_own_noise = layers_of(rows), own_noise_layers(rows)
    norm = epoch_norm(points["epoch"])
    examples = [ORIGINAL, *(attacks_of(rows["examples"]) or [ADVERSARIAL])]
    legend = _legend(examples, _noise_name(noise))
    across = 4 if len(examples) == 2 else 3  # number of columns of the legend
    below = 1.05 + 0.16 * (math.ceil(len(legend) / across) - 2)
    width = max(PAGE_INCHES[0], 1.7 * len(layers))
    height = 5.85 + below
    figure = new_figure(title, width, height)
    edges = {"left": 0.75 / width, "right": 1 - 0.85 / width}
    top = figure.add_gridspec(1, len(layers), wspace=0.1, top=1 - 0.5 / height, bottom=1 - 2.5 / height, **edges)
    low = figure.add_gridspec(
        2, len(layers), wspace=0.1, hspace=0.14, top=1 - 3.0 / height, bottom=below / height, **edges
    )
    planes = top.subplots(squeeze=False, sharey=True)[0]
    curves = low.subplots(squeeze=False, sharex=True, sharey="row")
    hide_inner_axes(planes[None], x=False)
    hide_inner_axes(curves)
    for column, (index, layer) in enumerate(layers):
        at = OWN if layer in of_own_noise else noise
        # raw pixels have relative noise, and are no baseline of a layer at another one
        shown = points.filter(pl.col("layer_index") != PIXELS_INDEX) if at == OWN else points
        _draw_trusted_plane(planes[column], shown, index, norm, examples)
        title_layer(planes[column], layer)
        own = rows.filter(pl.col("layer_index") == index, pl.col("class_index").is_null()).sort("epoch")
        _draw_input(curves[0, column], own.filter(pl.col("quantity") == INPUT_INFORMATION), at, examples)
        if at == OWN:
            planes[column].set_xlabel("I(X;T) at its own noise, bits")
            curves[0, column].text(0.03, 0.04, AT_OWN, transform=curves[0, column].transAxes, color="#555555")
        _draw_label(curves[1, column], own.filter(pl.col("quantity") == LABEL_INFORMATION), examples)
        curves[1, column].set_xlabel("completed epochs")
    planes[0].set_ylabel("decoded\nI(T;Y), bits")
    curves[0, 0].set_ylabel(f"Monte Carlo, {_noise_name(noise)}\nI(X;T), bits")
    curves[1, 0].set_ylabel("decoded\nI(T;Y), bits")
    epoch_bar(figure, norm, (1 - 0.65 / width, 1 - 2.5 / height, 0.12 / width, 2.0 / height))
    figure.legend(handles=legend, loc="lower center", ncol=across, columnspacing=1.6)
    return figure


def _draw_trusted_plane(axes: Axes, points: pl.DataFrame, index: int, norm: Normalize, examples: Sequence[str]) -> None:
    draw_plane(axes, points, index, norm, examples)
    own = points.filter(pl.col("layer_index") == index)
    if own.is_empty():
        return
    colours = epoch_colours()(norm(own["epoch"].to_numpy()))
    axes.hlines(own["label_drawn_bits"], *interval_ends(own, "input"), colors=colours, linewidth=0.8)
    axes.vlines(own["input_drawn_bits"], *interval_ends(own, "label"), colors=colours, linewidth=0.8)
    limits = plane_limits(points, "input")
    low, high = interval_ends(points, "input")
    limits = (min(limits[0], *low), max(limits[1], *high))
    axes.set(xlim=limits, ylim=plane_limits(points, "label"), xlabel="Monte Carlo I(X;T), bits")
    near = float(own["input_ceiling_bits"].min()) - _NEAR_BITS  # type: ignore[arg-type]
    if near < limits[1]:
        axes.axvspan(near, limits[1], **_SHORT)


def _noise_name(noise: str) -> str:
    return "relative noise" if noise == RELATIVE else "fixed noise"


def _draw_input(axes: Axes, rows: pl.DataFrame, noise: str, examples: Sequence[str]) -> None:
    """Draw the Monte Carlo I(X;T) over epochs, with the KDE bounds at the same noise."""
    if rows.filter(pl.col("estimator") == NOISY + noise).is_empty():
        say_missing(axes, "not measured")
        return
    for rank, name in enumerate(examples):
        own, look = rows.filter(pl.col("examples") == name), examples_look(rank)
        lower, upper = (own.filter(pl.col("estimator") == kind + noise) for kind in (KDE_BD, KDE_KL))
        if name == ORIGINAL:
            both = lower.join(upper, on="epoch").sort("epoch")  # lower bounds may be at fewer epochs
            ends = both["drawn_bits"], both["drawn_bits_right"]
            axes.fill_between(both["epoch"], *ends, color=look.colour, alpha=0.15, linewidth=0)
        else:
            for bound in (lower, upper):
                axes.plot(bound["epoch"], bound["drawn_bits"], color=look.colour, **_BOUND)
        noisy = own.filter(pl.col("estimator") == NOISY + noise)
        # no line: between two measured epochs it could leave the band, which is drawn at every epoch
        _draw_with_intervals(axes, noisy, 0.0, math.inf, {**look.style(), "linestyle": "none"}, name)
    known = rows.filter(pl.col("estimator") == NOISY + noise)["ceiling_bits"]
    known = rows["ceiling_bits"] if known.is_empty() else known
    lowest, highest = (float(end) for end in (known.min(), known.max()))  # type: ignore[arg-type]
    axes.axhline(highest, **CEILING)
    axes.axhspan(lowest - _NEAR_BITS, highest, **_SHORT)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    epoch_axis(axes, rows["epoch"])


def _draw_label(axes: Axes, rows: pl.DataFrame, examples: Sequence[str]) -> None:
    """Draw the decoded I(T;Y) over epochs; values far below zero are drawn at the edge, as triangles."""
    decoded = rows.filter(pl.col("estimator") == DECODED)
    if decoded.is_empty():
        say_missing(axes, "not measured")
        return
    ceiling = float(decoded["ceiling_bits"].max())  # type: ignore[arg-type]
    floor = -0.5 * ceiling
    transferred = rows.filter(pl.col("estimator") == DECODED_TRANSFER)
    drawn = [(decoded, name, examples_look(rank), name) for rank, name in enumerate(examples)]
    drawn += [
        (transferred, name, transferred_look(rank), f"{name}/transferred")
        for rank, name in enumerate(examples)
        if name != ORIGINAL
    ]
    for estimates, name, look, label in drawn:
        own = estimates.filter(pl.col("examples") == name)
        _draw_with_intervals(axes, own, floor, ceiling, look.style(), label)
        below = own.filter(pl.col("value_bits") < floor)
        axes.plot(below["epoch"], [floor] * len(below), "v", color=look.colour, markersize=4, label="below")
    null = rows.filter(pl.col("estimator").is_in([DECODED, DECODED_TRANSFER]))["null_bits"].max()
    if null is not None:
        axes.axhspan(0, max(float(null), 0), color=NULL_COLOUR, alpha=0.6, linewidth=0, zorder=0, label="null")  # type: ignore[arg-type]
    axes.axhline(0, color="#555555", linewidth=0.5, zorder=1)
    axes.axhline(ceiling, **CEILING)
    axes.set_ylim(floor - 0.05 * ceiling, 1.08 * ceiling)
    epoch_axis(axes, rows["epoch"])


def _draw_with_intervals(
    axes: Axes, rows: pl.DataFrame, floor: float, ceiling: float, style: dict[str, Any], label: str
) -> None:
    """Draw values with intervals over epochs, between `floor` and `ceiling`.

    Intervals end at the ceiling of their estimate; a tip marks those that pass it.
    """
    axes.plot(rows["epoch"], rows["value_bits"].clip(floor, ceiling), label=label, linewidth=0.9, **style)
    known = rows.filter(pl.col("low_bits").is_not_null())  # saturated values have no interval
    low, high = (known[end].clip(floor, ceiling) for end in ("drawn_low_bits", "drawn_high_bits"))
    axes.vlines(known["epoch"], low, high, color=style["color"], linewidth=0.9)
    cut = known.filter(pl.col("cut"))
    axes.plot(cut["epoch"], cut["drawn_high_bits"], "^", color=style["color"], markersize=3, label="above")


def _legend(examples: Sequence[str], noise: str) -> list[Line2D | Patch]:
    line: dict[str, Any] = {"linewidth": 0.9}
    original, *attacks = (examples_look(rank) for rank in range(len(examples)))
    handles: list[Line2D | Patch] = [
        Line2D([], [], label="original examples, 95 % interval", **original.style(), **line),
    ]
    for rank, (name, look) in enumerate(zip(examples[1:], attacks, strict=True), start=1):
        moved = transferred_look(rank)
        handles += [
            Line2D([], [], label=plain(f"{name} examples, decoders refitted"), **look.style(), **line),
            Line2D([], [], label=plain(f"{name} examples, decoders trained on clean"), **moved.style(), **line),
        ]
    handles.append(Patch(color=original.colour, alpha=0.15, linewidth=0, label=f"KDE bounds at {noise}, original"))
    handles += [
        Line2D([], [], color=look.colour, label=plain(f"KDE bounds at {noise}, {name}"), **_BOUND)
        for name, look in zip(examples[1:], attacks, strict=True)
    ]
    return [
        *handles,
        *baseline_legend(),
        Patch(label="undersampled: too low", **_SHORT),
        Line2D([], [], label="ceiling", **CEILING),
        Patch(color=NULL_COLOUR, alpha=0.6, linewidth=0, label="within the null (last epoch)"),
    ]
