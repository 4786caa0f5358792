"""Figure of information against the noise variance: how much the choice of the noise changes the numbers."""

import math
from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from infoplane.records.tables import (
    ADVERSARIAL,
    DECODED,
    FIXED_NOISE,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    NOISY,
    ORIGINAL,
    RELATIVE_NOISE,
)
from infoplane.report.bits import last_epoch, layers_of, relative_noise_text
from infoplane.report.examples import attacks_of, examples_look
from infoplane.report.figure import FigureSpec, NothingToSee
from infoplane.report.labels import NOISY_RELATIVE, SWEPT
from infoplane.report.nothing_to_see import all_at_ceiling, at_ceiling
from infoplane.report.recorded import Recorded
from infoplane.report.style import (
    CEILING,
    COLOURS,
    NULL_COLOUR,
    PAGE_INCHES,
    hide_inner_axes,
    legend_columns,
    log_axis,
    new_figure,
    plain,
    say_missing,
    title_layer,
)

_ACROSS = 6  # further layers go to the next pair of rows
_COLOURS = {KDE_KL: COLOURS[0], KDE_BD: COLOURS[1], DECODED: COLOURS[2]}
_FIXED: dict[str, Any] = {"color": "#222222", "linewidth": 0.8, "linestyle": "-", "zorder": 1}
_RELATIVE: dict[str, Any] = {"color": "#222222", "linewidth": 0.9, "linestyle": ":", "zorder": 1}

NOISE_SWEEP = FigureSpec[Recorded](
    kind="noise-sweep",
    per="training",
    caption=(
        "Both informations at the last epoch against the variance of the noise that they are measured with. Above: the "
        "band between the KDE bounds of I(X;T), and the Monte Carlo estimate at the fixed and at the relative noise. "
        "Below: the KL-KL and BD-BD estimates of I(T;Y), what permuted labels reach on original examples (darker: the "
        "lower of the two nulls), and the decoded lower bound, which needs no noise, with its 95 % interval. Vertical "
        "lines: the fixed noise, and the relative noise of original examples. Where a curve falls with the noise, the "
        "choice of the noise decides the number."
    ),
    draw=lambda own: _noise_sweep(own),
)


def _noise_sweep(own: Recorded) -> Figure | NothingToSee | None:
    rows = last_epoch(own.rows)
    informations = pl.col("quantity").is_in([INPUT_INFORMATION, LABEL_INFORMATION])
    swept = rows.filter(pl.col("estimator").str.ends_with(SWEPT), informations)
    if swept.is_empty():
        return None
    if at_ceiling(swept):
        return all_at_ceiling(swept.filter(pl.col("quantity") == INPUT_INFORMATION))
    return noise_sweep_figure(rows, f"Both informations against the noise, last epoch, {own.where}")


def noise_sweep_figure(rows: pl.DataFrame, title: str) -> Figure:
    """Draw the last epoch of one training of one seed: for each layer I(X;T) above I(T;Y), against the noise variance.

    Args:
        rows: as `bits.in_bits` returns them, of that epoch.
        title: stands above the figure.
    """
    rows = rows.filter(pl.col("class_index").is_null())
    layers = layers_of(rows)
    across = min(len(layers), _ACROSS)
    blocks = math.ceil(len(layers) / across)
    examples = [ORIGINAL, *(attacks_of(rows["examples"]) or [ADVERSARIAL])]
    rows = rows.filter(pl.col("examples").is_in(examples))  # the noise is not swept for the random control
    legend = _legend(examples, relative_noise_text(rows))
    width = PAGE_INCHES[0]
    across_legend = legend_columns([str(handle.get_label()) for handle in legend], width - 0.3)
    below = 0.45 + 0.16 * (math.ceil(len(legend) / across_legend) + 1)
    height = 0.25 + below + 3.5 * blocks
    figure = new_figure(title, width, height)
    edges = {"left": 0.75 / width, "right": 0.975, "top": 1 - 0.5 / height, "bottom": below / height}
    grid = figure.add_gridspec(blocks, 1, hspace=0.28, **edges)
    for block in range(blocks):
        pair = grid[block].subgridspec(2, across, hspace=0.12, wspace=0.12).subplots(squeeze=False, sharey="row")
        hide_inner_axes(pair)
        for column in range(across):
            place = block * across + column
            if place >= len(layers):
                pair[0, column].set_axis_off()
                pair[1, column].set_axis_off()
                continue
            own = rows.filter(pl.col("layer_index") == layers[place][0])
            _draw_layer(pair[:, column], own, layers[place][1], examples)
        pair[0, 0].set_ylabel("I(X;T), bits")
        pair[1, 0].set_ylabel("I(T;Y), bits")
    figure.legend(handles=legend, loc="lower center", ncol=across_legend, columnspacing=1.4)
    return figure


def _draw_layer(pair: Any, rows: pl.DataFrame, layer: str, examples: Sequence[str]) -> None:
    title_layer(pair[0], layer)
    swept = rows.filter(pl.col("estimator").str.ends_with(SWEPT)).sort("noise_variance")
    if swept.is_empty():
        for axes in pair:
            say_missing(axes, "not measured")
        return
    for axes, quantity in zip(pair, (INPUT_INFORMATION, LABEL_INFORMATION), strict=True):
        own = swept.filter(pl.col("quantity") == quantity)
        draw = _draw_bounds if quantity == INPUT_INFORMATION else _draw_estimates
        draw(axes, own.partition_by("examples", "estimator", as_dict=True), examples)
        axes.axhline(own["ceiling_bits"].max(), **CEILING)
        _draw_noise_levels(axes, rows)
    of_input, of_label = (pl.col("quantity") == name for name in (INPUT_INFORMATION, LABEL_INFORMATION))
    _draw_noisy(pair[0], rows.filter(pl.col("estimator").is_in([NOISY, NOISY_RELATIVE]), of_input), examples)
    _draw_decoded(pair[1], rows.filter(pl.col("estimator") == DECODED, of_label), examples)
    pair[1].set_xlabel("noise variance")


def _draw_bounds(axes: Axes, parts: dict[Any, pl.DataFrame], examples: Sequence[str]) -> None:
    """Draw the band between the KDE bounds of I(X;T)."""
    for rank, name in enumerate(examples):
        if (name, KDE_BD + SWEPT) in parts:
            lower, upper = parts[name, KDE_BD + SWEPT], parts[name, KDE_KL + SWEPT]
            across = lower["noise_variance"]
            axes.fill_between(across, lower["drawn_bits"], upper["drawn_bits"], label=name, **_band(rank))


def _draw_estimates(axes: Axes, parts: dict[Any, pl.DataFrame], examples: Sequence[str]) -> None:
    """Draw the KL-KL and BD-BD estimates of I(T;Y), each with the null of original examples."""
    for kind in (KDE_KL, KDE_BD):
        for rank, name in enumerate(examples):
            if (name, kind + SWEPT) not in parts:
                continue
            own = parts[name, kind + SWEPT]
            axes.plot(
                own["noise_variance"],
                own["drawn_bits"],
                color=_COLOURS[kind],
                linestyle=examples_look(rank).line,
                label=f"{kind}/{name}",
            )
            null = own.filter(pl.col("null_bits").is_not_null())
            if name == ORIGINAL and not null.is_empty():
                axes.fill_between(
                    null["noise_variance"],
                    0,
                    null["null_bits"].clip(0),
                    color=NULL_COLOUR,
                    alpha=0.35,
                    linewidth=0,
                    zorder=0,
                    label="null",
                )


def _draw_noise_levels(axes: Axes, rows: pl.DataFrame) -> None:
    """Mark the fixed noise, and the relative noise of original examples."""
    original = rows.filter(pl.col("examples") == ORIGINAL)
    for mode, style in ((FIXED_NOISE, _FIXED), (RELATIVE_NOISE, _RELATIVE)):
        for variance in original.filter(pl.col("noise_mode") == mode)["noise_variance"].unique():
            axes.axvline(variance, label=mode, **style)
    axes.set_xscale("log")
    log_axis(axes.xaxis)


def _draw_noisy(axes: Axes, rows: pl.DataFrame, examples: Sequence[str]) -> None:
    """Mark the Monte Carlo estimates, at each noise for which there is one."""
    for row in rows.to_dicts():
        look = _mark(examples.index(row["examples"]))
        label = f"{row['estimator']}/{row['examples']}"
        axes.plot(row["noise_variance"], row["drawn_bits"], zorder=4, label=label, **look)


def _draw_decoded(axes: Axes, rows: pl.DataFrame, examples: Sequence[str]) -> None:
    """Draw the decoded I(T;Y), which needs no noise, with its 95 % interval."""
    for row in rows.to_dicts():
        axes.axhline(
            row["drawn_bits"],
            color=_COLOURS[DECODED],
            linestyle=examples_look(examples.index(row["examples"])).line,
            linewidth=1.4,
            label=f"{DECODED}/{row['examples']}",
        )
        if row["low_bits"] is not None:
            low, high = (max(row[end], 0) for end in ("drawn_low_bits", "drawn_high_bits"))
            axes.axhspan(low, high, color=_COLOURS[DECODED], alpha=0.2, linewidth=0)


def _band(rank: int) -> dict[str, Any]:
    """Draw the band between two bounds: filled for original examples, an outline for each attack."""
    if rank == 0:
        return {"facecolor": COLOURS[4], "alpha": 0.45, "linewidth": 0}
    line, _, colour = examples_look(rank)
    return {"facecolor": "none", "edgecolor": colour, "linestyle": line, "linewidth": 0.9}


def _mark(rank: int) -> dict[str, Any]:
    look = {**examples_look(rank).style(), "markersize": 4.5 if rank else 3.5, "linestyle": "none"}
    return look if rank else look | {"color": "black"}


def _legend(examples: Sequence[str], relative: str) -> list[Line2D | Patch]:
    kinds = [plain(name) for name in examples]
    one = len(kinds) == 2  # attack; with several attacks, each has its own line
    about = f"dashed: {kinds[1]}" if one else "solid: original"
    handles: list[Line2D | Patch] = [
        Patch(label=f"between the KDE bounds, {name}", **_band(rank)) for rank, name in enumerate(kinds)
    ]
    handles += [Line2D([], [], label=f"Monte Carlo, {name}", **_mark(rank)) for rank, name in enumerate(kinds)]
    handles += [
        Line2D([], [], color="#333333", linestyle=examples_look(rank).line, label=f"estimates, {name}")
        for rank, name in enumerate(kinds)
        if rank and not one
    ]
    return [
        *handles,
        Line2D([], [], label="ceiling", **CEILING),
        Line2D([], [], color=_COLOURS[KDE_KL], label=f"KL-KL ({about})"),
        Line2D([], [], color=_COLOURS[KDE_BD], label=f"BD-BD ({about})"),
        Line2D([], [], color=_COLOURS[DECODED], linewidth=1.4, label=f"decoded, no noise ({about})"),
        Patch(color=NULL_COLOUR, alpha=0.35, linewidth=0, label="nulls of KL-KL and BD-BD"),
        Line2D([], [], label="fixed noise", **_FIXED),
        Line2D([], [], label=f"relative noise,\n{relative}", **_RELATIVE),
    ]
