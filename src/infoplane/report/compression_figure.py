"""Figures of the compression studies: I(X;T) of every layer against epochs, a row per kind of network."""

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from infoplane.findings.compression import NETWORK, VARIANT, interval, learned
from infoplane.findings.evidence import LEVEL
from infoplane.records.compression import EPOCH_RANGE, FIXED_RANGE
from infoplane.records.tables import BINNING, EXACT, INPUT_INFORMATION, KDE_KL, NOISY
from infoplane.report.compression_table import kind_label, variant_label
from infoplane.report.figure import FigureSpec, NothingToSee
from infoplane.report.style import CEILING, COLOURS, LINES, PAGE_INCHES, hide_inner_axes, new_figure
from infoplane.report.sweep_curves import write_caption

_CAPTION = (
    "I(X;T) of each hidden layer against completed epochs, mean over the seeds that learned with a 95 % t interval. "
    "All 4,096 inputs are measured; dashed: H(X). {}"
)
_TANH_CAPTION = (
    "Left: outputs rounded to equal bins over one range for all epochs, the coarsest and the finest. Right: Monte "
    "Carlo under Gaussian noise of one variance, and of a share of the variance of the layer at the same epoch. A "
    "curve that falls in one column and not in another is an effect of the bins or the noise."
)
_QUANTISED_CAPTION = (
    "First column: exact values of the quantised layer, by counting. The others are about the same outputs before "
    "they are quantised: the coarsest bins over one range, the coarsest and the finest over the range of the layer at "
    "the same epoch, and the upper KDE bound at fixed noise."
)


class Compression(NamedTuple):
    """Tables of a compression study."""

    measurements: pl.DataFrame  # `compression.COMPRESSION_SCHEMA`
    accuracies: pl.DataFrame  # `compression.ACCURACY_SCHEMA`


def compression_figure(records: Compression, *, title: str, caption: str) -> "Figure | NothingToSee":
    """Draw I(X;T) against epochs: a row per kind of network, a column per variant.

    Args:
        records: tables of either study; networks that did not learn are left out.
        title: stands above the figure.
        caption: stands below it.
    """
    known = records.measurements.join(learned(records.accuracies), on=NETWORK, nulls_equal=True, how="semi")
    curves = known.filter(pl.col("quantity") == INPUT_INFORMATION)
    if curves.is_empty():
        return NothingToSee("No network learned.")
    kinds = curves.select("activation", "bits").unique(maintain_order=True).rows()
    variants = _variants(curves)
    width, height = PAGE_INCHES[0], 1.3 + 1.75 * len(kinds)
    figure = new_figure(title, width, height)
    edges = {"left": 0.75 / width, "right": 0.99, "top": 1 - 0.7 / height, "bottom": 1.15 / height}
    grid = figure.add_gridspec(len(kinds), len(variants), wspace=0.08, hspace=0.15, **edges)
    axes = grid.subplots(squeeze=False, sharex=True, sharey=True)
    hide_inner_axes(axes)
    layers = curves.sort("layer_index")["layer"].unique(maintain_order=True).to_list()
    looks: dict[str, dict[str, Any]] = {
        layer: {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place % len(LINES)]}
        for place, layer in enumerate(layers)
    }
    for row, (activation, bits) in enumerate(kinds):
        of_kind = curves.filter(pl.col("activation") == activation, pl.col("bits").eq_missing(pl.lit(bits)))
        for column, variant in enumerate(variants):
            one = axes[row, column]
            own = of_kind.filter(*(pl.col(name).eq_missing(pl.lit(value)) for name, value in variant.items()))
            _draw(one, own, looks)
            if not row:
                one.set_title(variant_label(variant).replace(", ", ",\n"), loc="left", fontweight="bold")
        axes[row, 0].set_ylabel(f"{kind_label(activation, bits)}\nI(X;T), bits")
    for one in axes[-1]:
        one.set_xlabel("completed epochs")
    handles = [Line2D([], [], label=layer, **look) for layer, look in looks.items()]
    figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.55 / height), ncol=len(handles))
    write_caption(figure, caption)
    return figure


def _variants(curves: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the variants that are drawn: exact values, the coarsest and the finest bins, and noise."""
    every = curves.select(VARIANT).unique(maintain_order=True).to_dicts()
    numbers = [one["bins"] for one in every if one["bins"] is not None]
    exact = [one for one in every if one["estimator"] == EXACT]
    wanted = [(min(numbers), FIXED_RANGE), (max(numbers), FIXED_RANGE)]
    if exact:
        wanted = [(min(numbers), FIXED_RANGE), (min(numbers), EPOCH_RANGE), (max(numbers), EPOCH_RANGE)]
    binned = [
        one
        for bins, policy in dict.fromkeys(wanted)
        for one in every
        if one["estimator"] == BINNING and (one["bins"], one["bin_range"]) == (bins, policy)
    ]
    noisy = [one for one in every if one["estimator"] in (NOISY, KDE_KL)]  # of the KDE, the upper bound
    return [*exact, *binned, *noisy]


def _draw(axes: Axes, curves: pl.DataFrame, looks: dict[str, dict[str, Any]]) -> None:
    for (layer,), own in curves.group_by("layer", maintain_order=True):
        epochs = own["epoch"].unique().sort().to_numpy()
        values = own.sort("seed", "epoch")["value_nats"].to_numpy().reshape(-1, len(epochs)) / math.log(2)
        look = looks[str(layer)]
        axes.plot(epochs, values.mean(axis=0), marker="o", markersize=2, **look)
        if len(values) > 1:
            ends = np.array([interval(column, LEVEL) for column in values.T])
            axes.fill_between(epochs, ends[:, 0], ends[:, 1], color=look["color"], alpha=0.15, linewidth=0)
    axes.axhline(math.log2(curves["samples"][0]), **CEILING)
    axes.set_xscale("symlog", linthresh=1)
    ticks = [0, *(10**power for power in range(6) if 10**power <= curves["epoch"].max())]
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, 1.08 * math.log2(curves["samples"][0]))


TANH_AND_RELU = FigureSpec[Compression](
    kind="compression",
    caption=_CAPTION.format(_TANH_CAPTION),
    draw=partial(
        compression_figure,
        title="I(X;T) in training, tanh against ReLU, 12-bit task",
        caption=_CAPTION.format(_TANH_CAPTION),
    ),
)
QUANTISED = FigureSpec[Compression](
    kind="quantised",
    caption=_CAPTION.format(_QUANTISED_CAPTION),
    draw=partial(
        compression_figure,
        title="I(X;T) of quantised networks in training, exact and estimated, 12-bit task",
        caption=_CAPTION.format(_QUANTISED_CAPTION),
    ),
)
