"""Figure that compares all trainings of one seed: both informations over epochs, layer by layer."""

from itertools import product
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.records.tables import DECODED, DECODED_TRANSFER, INPUT_INFORMATION, KDE_BD, LABEL_INFORMATION, ORIGINAL
from infoplane.report.bits import examples_of, layers_of, trainings_of, trusted_planes
from infoplane.report.examples import examples_look, transferred_look
from infoplane.report.figure import FigureSpec, NothingToSee
from infoplane.report.labels import RELATIVE, STUDY_ESTIMATORS, estimator_label, examples_label, training_label
from infoplane.report.nothing_to_see import all_silent, one_epoch, panel_note
from infoplane.report.planes import interval_ends, is_near
from infoplane.report.recorded import Recorded
from infoplane.report.style import (
    CEILING,
    COLOURS,
    align_epochs,
    epoch_axis,
    layer_grid,
    plain,
    say_constant,
    say_missing,
    stacked,
)

_THOROUGH = f"[+]({DECODED}|{DECODED_TRANSFER})$"  # planes with Monte Carlo and decoded values
_FEW = 3  # largest number of trainings with their own null in the legend

COMPARISON = FigureSpec[Recorded](
    kind="comparison",
    per="seed",
    caption=(
        "Both informations over epochs, layer by layer. Colour: training. Solid: original examples; dashed: attacked "
        "ones; dotted: attacked ones read by decoders trained on clean examples (drawn at 0 where they are negative). "
        "Where two lines coincide, the wider one is the first training's. Bars: 95 % intervals of Monte Carlo and "
        "decoded values. Shaded: what permuted labels reach. Findings rest on KDE (BD) at relative noise and on "
        "decoded I(T;Y)."
    ),
    draw=lambda own: _comparison(own),
)


def _comparison(own: Recorded) -> Figure | NothingToSee | None:
    if not own.trainings:
        return None
    if nothing := one_epoch(own.points["epoch"]):
        return nothing
    notes = [
        _note(chosen, side)
        for chosen in own.points.partition_by("estimator", "layer_index")
        for side in ("input", "label")
    ]
    silent = all_silent(notes, len(layers_of(own.points)))
    return silent or comparison_figure(own.points, f"Both informations over epochs, {own.where}")


def _note(points: pl.DataFrame, side: str) -> str:
    """Return what a panel would show, if it is nothing; values with intervals are always drawn."""
    thorough = points["estimator"].str.contains(_THOROUGH).any()
    return "" if thorough else panel_note(points, f"{side}_")


def comparison_figure(points: pl.DataFrame, title: str) -> Figure:
    """Draw I(X;T) and I(T;Y) over epochs: a colour per training, a line style per kind of examples.

    If there are Monte Carlo and decoded values, a row each shows them with 95 % intervals. A further row of I(X;T)
    shows the KDE lower bound at relative noise, on which findings rest.

    Args:
        points: rows of `bits.plane_points` of one seed.
        title: stands above the figure.
    """
    layers = layers_of(points) or [(0, "no layer")]
    trainings = [training for _, training in trainings_of(points)]
    examples = examples_of(points)
    recorded = set(points["estimator"])
    trusted, transferred = trusted_planes(points) or ("", "")
    primary = [name for name in (KDE_BD + RELATIVE,) if name in recorded]
    thorough = [trusted] if trusted else []
    panels = [("input", estimator) for estimator in (*thorough, *primary, *STUDY_ESTIMATORS)]
    panels += [("label", estimator) for estimator in (*thorough, *STUDY_ESTIMATORS)]
    legend = _legend(trainings, examples, transferred in recorded)
    figure, axes = layer_grid(title, layers, len(panels), 1.12, legend)
    parts = points.partition_by("estimator", "layer_index", as_dict=True)
    for row, (side, estimator) in enumerate(panels):
        quantity = INPUT_INFORMATION if side == "input" else LABEL_INFORMATION
        of_row = points.filter(pl.col("estimator") == estimator)
        highest, top = (of_row[f"{side}_{name}_bits"].max() for name in ("drawn", "ceiling"))
        near = top is None or is_near(float(highest), float(top))  # type: ignore[arg-type]
        for column, (index, _) in enumerate(layers):
            chosen = parts.get((estimator, index), points.clear())
            _draw_over_epochs(axes[row, column], chosen, side, trainings, examples, ceiling=near)
            if (side, estimator) == ("label", trusted):
                moved = parts.get((transferred, index), points.clear())
                _draw_transferred(axes[row, column], moved, trainings, examples)
        name = estimator_label(estimator, quantity) if estimator == trusted else estimator_label(estimator)
        name = name.replace(", ", ",\n")
        beyond = "" if near else f"\n(ceiling {float(top):.2f})"  # type: ignore[arg-type]
        axes[row, 0].set_ylabel(f"{quantity}, bits\n{name}{beyond}")
    align_epochs(axes)
    return figure


def _legend(trainings: list[str], examples: list[str], transferred: bool) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    few = len(trainings) <= _FEW
    for rank, training in enumerate(trainings):
        colour = COLOURS[rank % len(COLOURS)]
        width = stacked(rank, len(trainings))["linewidth"]
        handles.append(Line2D([], [], color=colour, linewidth=width, label=plain(training_label(training))))
        if few:
            handles.append(Patch(color=colour, alpha=_null_alpha(trainings), linewidth=0, label="its null"))
    if not few:
        handles.append(Patch(color="#333333", alpha=0.18, linewidth=0, label="their nulls"))
    for rank, name in enumerate(examples):
        line = examples_look(rank).line
        handles.append(Line2D([], [], color="#333333", linestyle=line, label=plain(examples_label(name))))
    if transferred:
        handles += [
            Line2D([], [], color="#333333", linestyle=transferred_look(rank).line,
                   label=plain(f"{name}, decoders trained on clean"))
            for rank, name in enumerate(examples) if name != ORIGINAL
        ]  # fmt: skip
    handles.append(Line2D([], [], label="ceiling", **CEILING))
    return handles


def _draw_over_epochs(
    axes: Axes, points: pl.DataFrame, side: str, trainings: list[str], examples: list[str], *, ceiling: bool
) -> None:
    if points.is_empty():
        say_missing(axes, "not measured")
        return
    epoch_axis(axes, points["epoch"])
    if note := _note(points, side):
        say_constant(axes, note)
        return
    parts = points.sort("epoch").partition_by("training", "examples", as_dict=True)
    for rank, training in enumerate(trainings):
        for style, name in enumerate(examples):
            curve = parts.get((training, name), points.clear())
            line, marker, _ = examples_look(style)
            look = {**_look(rank, len(trainings)), "linestyle": line, "marker": marker}
            _draw_curve(axes, curve, side, look, f"{training}/{name}")
        if side == "label":
            # one band for all examples, up to the highest of their nulls at each epoch
            own = points.filter(pl.col("training") == training, pl.col("label_null_bits").is_not_null())
            null = own.group_by("epoch").agg(pl.col("label_null_bits").max()).sort("epoch")
            axes.fill_between(
                null["epoch"], 0, null["label_null_bits"], color=COLOURS[rank % len(COLOURS)],
                alpha=_null_alpha(trainings), linewidth=0, zorder=0,
            )  # fmt: skip
    top = points[f"{side}_ceiling_bits"].max()
    if ceiling and top is not None:
        axes.axhline(top, **CEILING)  # type: ignore[arg-type]


def _draw_transferred(axes: Axes, points: pl.DataFrame, trainings: list[str], examples: list[str]) -> None:
    """Draw the I(T;Y) of attacked examples by decoders trained on clean examples, attack by attack."""
    for (rank, training), (place, name) in product(enumerate(trainings), enumerate(examples)):
        if name != ORIGINAL:
            curve = points.filter(pl.col("training") == training, pl.col("examples") == name).sort("epoch")
            line, marker, _ = transferred_look(place)
            look = {**_look(rank, len(trainings)), "linestyle": line, "marker": marker}
            _draw_curve(axes, curve, "label", look, f"{training}/{name}/transferred")


def _null_alpha(trainings: list[str]) -> float:
    """Return the opacity of the null bands: with many bands on top of each other, it is lower."""
    return 0.18 if len(trainings) <= _FEW else 0.04


def _look(rank: int, number: int) -> dict[str, Any]:
    return {"color": COLOURS[rank % len(COLOURS)], **stacked(rank, number)}


def _draw_curve(axes: Axes, curve: pl.DataFrame, side: str, look: dict[str, Any], label: str) -> None:
    """Draw one curve, with markers if there are few epochs, and with intervals if it is Monte Carlo or decoded."""
    values = curve[f"{side}_drawn_bits"]
    thorough = curve["estimator"].str.contains(_THOROUGH).any()
    axes.plot(curve["epoch"], values, **look | ({} if thorough or len(curve) <= 2 else {"marker": None}), label=label)
    if thorough:
        axes.vlines(curve["epoch"], *interval_ends(curve, side), colors=look["color"], linewidth=0.8)
