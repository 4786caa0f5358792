"""Figures of `infoplane where`: where labels are lost, and pointwise information along the layers."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infoplane.findings.where_lost import layers_in_order, places_in_order
from infoplane.findings.where_sentences import attack_names
from infoplane.findings.where_shares import ALL, CORRECT, MISCLASSIFIED, loss_shares
from infoplane.report.examples import examples_look, examples_order
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import training_label
from infoplane.report.layer_names import short_layers
from infoplane.report.recorded import Recorded
from infoplane.report.style import COLOURS, NULL_COLOUR, new_figure, plain, say_missing
from infoplane.runs.where_files import Where, WhereFiles

MOST_KINDS = 4  # kinds of examples in these figures: originals and the first attacks
_BITS = 1 / math.log(2)
_FEW_LAYERS = 6  # with more layers, two panels stand side by side
SHORT = 13  # characters of a layer's name
_UPRIGHT, _LONGEST = 9, 46  # likewise, of one that is not turned, and of a title
_FEWEST = 5  # examples of which quantiles are drawn; fewer are drawn one by one
_GROUPS = ((CORRECT, COLOURS[0], "classified correctly"), (MISCLASSIFIED, COLOURS[5], "misclassified"))

WHERE_SHARES = FigureSpec[Recorded](
    kind="lost-labels",
    section="where",
    caption=(
        "Share of all measured examples that lose the label at each layer, on originals and under at most three "
        "attacks, with 95 % intervals. Left of the layers: labels that no layer encodes, with or without the "
        "attack. Right of them: labels that the last layer still encodes. Grey: the same decoders with permuted "
        "labels, all of which should be left of the layers."
    ),
    draw=lambda own: where_shares_figure(WhereFiles(own.run).read(), f"Where labels are lost ({own.name})"),
)
WHERE_CURVES = FigureSpec[Recorded](
    kind="pointwise-information",
    section="where",
    caption=(
        "Pointwise information about the label along the layers, in bits: median (line) and middle half (band) of the "
        "examples that the network classifies correctly and of those that it misclassifies, on originals and under at "
        "most three attacks. Below 0 (dashed), the decoder finds the label less likely than its class frequency. Fewer "
        f"than {_FEWEST} examples are drawn one by one."
    ),
    draw=lambda own: where_curves_figure(WhereFiles(own.run).read(), f"Pointwise information ({own.name})"),
)


def where_shares_figure(found: Where, title: str) -> Figure | None:
    """Draw a panel per training: at each place the share of every kind of examples.

    Args:
        found: records of all networks.
        title: stands above the figure.

    Returns:
        The figure, or None where nothing was recorded.
    """
    shares, names = loss_shares(found.pointwise, found.layers).filter(among=ALL), attack_names(found.layers)
    trainings = shares["training"].unique(maintain_order=True).to_list()
    if not trainings:
        return None
    layers = {training: short_layers(layers_in_order(found.pointwise, training), SHORT) for training in trainings}
    turned = max(len(name) for own in layers.values() for name in own) > _UPRIGHT
    below = 0.65 if turned else 0.4  # inches for the names of places
    width = max(8.0, 2.2 + 0.62 * max(len(own) + 2 for own in layers.values()))
    height = 0.6 + (1.65 + below) * len(trainings)
    figure = new_figure(title, width, height)
    panels = figure.subplots(len(trainings), squeeze=False)[:, 0]
    figure.subplots_adjust(
        left=0.75 / width, right=0.99, top=1 - 0.6 / height, bottom=below / height, hspace=(below + 0.25) / 1.4
    )
    for axes, training in zip(panels, trainings, strict=True):
        own = shares.filter(training=training)
        _bars(axes, own, shown_kinds(own["examples"].unique().to_list()), names)
        places = [plain(name.replace(" ", "\n")) for _, name in places_in_order(layers[training])]
        axes.set_xticks(range(len(places)), places, **({"rotation": 25, "ha": "right"} if turned else {}))
        for edge in (0.5, len(places) - 1.5):
            axes.axvline(edge, color="#BBBBBB", linewidth=0.6)
        axes.set_title(plain(training_label(training).capitalize()), loc="left", fontweight="bold")
        axes.set(ylim=(0, 100), xlim=(-0.5, len(places) - 0.5), ylabel="share (%)")
    panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncol=MOST_KINDS + 1, borderaxespad=0.2)
    return figure


def _bars(axes: Axes, shares: pl.DataFrame, kinds: Sequence[str], names: Mapping[str, str]) -> None:
    permuted = shares.filter(examples=kinds[0]).sort("place_index")
    known = permuted["permuted_share"].is_not_null().all()
    width = 0.8 / (len(kinds) + known)
    for rank, kind in enumerate(kinds):
        own = shares.filter(examples=kind).sort("place_index")
        share, low, high = (100 * own[name].to_numpy() for name in ("share", "share_low", "share_high"))
        axes.bar(
            np.arange(len(own)) - 0.4 + (rank + 0.5) * width,
            share,
            width,
            yerr=np.stack([share - low, high - share]).clip(min=0),
            color=examples_look(rank).colour,
            error_kw={"elinewidth": 0.8, "capsize": 1.5},
            label=plain(names.get(kind, kind)[:SHORT]),
        )
    if known:
        axes.bar(
            np.arange(len(permuted)) + 0.4 - width / 2,
            100 * permuted["permuted_share"].to_numpy(),
            width,
            color=NULL_COLOUR,
            label="permuted labels",
        )


def where_curves_figure(found: Where, title: str) -> Figure | None:
    """Draw a row per training, and a column per kind of examples, with quantiles along the layers.

    Args:
        found: records of all networks.
        title: stands above the figure.

    Returns:
        The figure, or None where nothing was recorded.
    """
    pointwise, names = found.pointwise, attack_names(found.layers)
    trainings = pointwise["training"].unique(maintain_order=True).to_list()
    if not trainings:
        return None
    kinds = shown_kinds(pointwise["examples"].unique().to_list())
    most = max(len(layers_in_order(pointwise, training)) for training in trainings)
    columns = len(kinds) if most <= _FEW_LAYERS else min(2, len(kinds))
    panels = [(training, kind) for training in trainings for kind in kinds]
    rows = math.ceil(len(panels) / columns)
    width, height = max(8.0, 0.9 + columns * (0.5 + 0.34 * most)), 0.85 + 1.9 * rows
    figure = new_figure(title, width, height)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    figure.subplots_adjust(
        left=0.75 / width, right=0.99, top=1 - 0.75 / height, bottom=0.65 / height, hspace=0.75, wspace=0.08
    )
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, (training, kind) in zip(grid.flat, panels, strict=False):
        layers, own = layers_in_order(pointwise, training), pointwise.filter(training=training, examples=kind)
        named = f"{training_label(training).capitalize()}, {names.get(kind, kind)}"
        axes.set_title(
            plain(named if len(named) <= _LONGEST else f"{named[:_LONGEST]}…"), loc="left", fontweight="bold"
        )
        if own.is_empty():
            say_missing(axes, "not measured")
            continue
        _curves(axes, own, layers)
        axes.set_xticks(
            range(len(layers)), [plain(name) for name in short_layers(layers, SHORT)], rotation=30, ha="right"
        )
    for axes in grid[:, 0]:
        axes.set_ylabel("pointwise information (bits)")
    handles = {
        label: handle for axes in grid.flat for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="upper right", ncol=2, bbox_to_anchor=(0.99, 1 - 0.3 / height))
    return figure


def _curves(axes: Axes, own: pl.DataFrame, layers: Sequence[str]) -> None:
    axes.axhline(0, color="#555555", linewidth=0.7, linestyle=(0, (5, 3)))
    right, counts = pl.col("predicted") == pl.col("label"), []
    for group, colour, label in _GROUPS:
        chosen = own.filter(right if group == CORRECT else ~right).sort("layer_index", "seed", "example")
        counts.append(len(chosen) // len(layers))
        if chosen.is_empty():
            continue
        values = _BITS * chosen["information_nats"].to_numpy().reshape(len(layers), -1)
        if values.shape[1] < _FEWEST:
            axes.plot(values, color=colour, linewidth=0.8, label=label)
            continue
        low, median, high = np.quantile(values, [0.25, 0.5, 0.75], axis=1)
        axes.fill_between(range(len(layers)), low, high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(median, color=colour, marker="o", markersize=2.5, label=label)
    axes.set_xlim(-0.3, len(layers) - 0.7)
    axes.annotate(
        f"{counts[0]:,} right, {counts[1]:,} wrong", (0.02, 0.04), xycoords="axes fraction", color="#555555", fontsize=6
    )


def shown_kinds(kinds: Sequence[str]) -> list[str]:
    """Return the kinds of examples that the figures show, originals first."""
    return sorted(kinds, key=examples_order)[:MOST_KINDS]
