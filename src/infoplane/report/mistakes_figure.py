"""Figures of misclassified attacked examples: predicted class, and information about the wrong and the true class."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from infoplane.distortions import distortion_named
from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    MISTAKEN_INFORMATION,
    ORIGINAL,
    RANDOM,
    TRUE_INFORMATION,
)
from infoplane.report.bits import last_epoch, layers_of, level_label, trainings_of
from infoplane.report.examples import attacks_of
from infoplane.report.figure import FigureSpec, NothingToSee
from infoplane.report.labels import training_label
from infoplane.report.recorded import Recorded
from infoplane.report.style import CEILING, COLOURS, hide_inner_axes, new_figure, plain, say_missing
from infoplane.report.subject import class_label

_WRITTEN = 12  # with more classes, the cells of the matrix have no text
_CURVES = (  # quantity, estimator, label, line, marker, filled
    (MISTAKEN_INFORMATION, DECODED, "wrong class, decoders refitted", "-", "o", True),
    (MISTAKEN_INFORMATION, DECODED_TRANSFER, "wrong class, decoders trained on clean", "--", "o", False),
    (TRUE_INFORMATION, DECODED, "true class, decoders refitted", "-", "s", True),
    (TRUE_INFORMATION, DECODED_TRANSFER, "true class, decoders trained on clean", "--", "s", False),
)
_NULL = "refitted to permuted classes, 95 % quantile"
_NULL_LOOK: dict[str, Any] = {"color": "#222222", "marker": "_", "linestyle": "none", "markersize": 9}
_CONTROL = "wrong class of misclassified {} examples, decoders trained on clean"
_CONTROL_LOOK: dict[str, Any] = {"color": "#777777", "linestyle": ":", "markersize": 3.5, "linewidth": 0.9}
_ACROSS = 4  # trainings side by side
_COLOUR = {MISTAKEN_INFORMATION: COLOURS[5], TRUE_INFORMATION: COLOURS[0]}

TRANSFER = FigureSpec[Recorded](
    kind="transfer",
    per="seed",
    section="mistakes",
    caption=(
        "Which class the network predicts for adversarial examples, by their label, at the last epoch; correct answers "
        "are framed. A cell gives the share of its row and the mean confidence (the softmax probability of the "
        "predicted class), both in per cent. The attack pushes away from the label and towards no class, so the "
        "network itself decides which class is predicted. High confidence does not mean that the answer is right."
    ),
    draw=lambda own: _transfer(own),
)

MISTAKES = FigureSpec[Recorded](
    kind="mistakes",
    per="seed",
    section="mistakes",
    caption=(
        "Of the adversarial examples that the network misclassifies: how predictive each layer is of the wrong class "
        "(the one that the network predicts) and of the true class, by decoders refitted to these examples and by "
        "decoders trained on clean examples, with 95 % intervals. Below: the same examples and classes along "
        "saturation. Refitted decoders use anything that goes with the class, traces of the attack too. Decoders "
        "trained on clean examples use only what the class looks like in clean examples, and fall below 0 where that "
        "misleads them (a triangle: off the scale). The examples are selected by being misclassified, so in the last "
        "layers much information about the wrong class is certain. Grey: controls without the attack, original and "
        "randomly perturbed examples that the network misclassifies."
    ),
    draw=lambda own: mistakes_figure(
        own.rows,
        own.distorted.filter(pl.col("distortion") == "saturation"),
        f"Decoded wrong and true class of misclassified examples, {own.where}",
    ),
)


def _predicted(performance: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of attacked test examples with predictions, of each training's last epoch."""
    attacked = pl.col("examples") != ORIGINAL
    return last_epoch(performance.filter(attacked, pl.col("predictions").is_not_null(), pl.col("split") == "test"))


def _transfer(own: Recorded) -> Figure | NothingToSee | None:
    rows = _predicted(own.performance)
    if not rows.is_empty() and (rows["accuracy"] == 1).all():
        return NothingToSee(f"All {rows['n'].to_numpy().min()} attacked examples are classified correctly.")
    title = f"Predicted class of adversarial examples, {own.where}"
    return transfer_figure(own.performance, title, own.class_names)


def transfer_figure(performance: pl.DataFrame, title: str, class_names: Sequence[str] = ()) -> Figure | None:
    """Draw the predicted class of attacked examples, by label: a matrix per training and attack, at its last epoch.

    Args:
        performance: of one seed, undistorted, columns of `records.PERFORMANCE_SCHEMA`.
        title: stands above the figure.
        class_names: for the axes; without them classes have numbers.

    Returns:
        The figure, or None where no attacked example's prediction was recorded.
    """
    rows = _predicted(performance)
    panels = _panels(rows)
    if not panels:
        return None
    across = min(len(panels), _ACROSS)
    lines = math.ceil(len(panels) / across)
    longest = max((len(class_label(index, class_names)) for index in range(len(class_names))), default=0)
    room = 0.065 * longest if longest > 2 else 0.0  # inches for the names along both axes
    width = max(5.0, 0.4 + (4.6 + room) * across)
    height = 1.3 + (3.6 + room) * lines + 0.7 * (lines - 1)
    figure = new_figure(title, width, height)
    grid = figure.add_gridspec(
        lines,
        across,
        left=(0.75 + room) / width,
        right=1 - 0.7 / width,
        top=1 - 0.55 / height,
        bottom=(0.75 + room) / height,
        wspace=0.2 + room / 3.6,
        hspace=0.2 + room / 3.6,
    )
    images = []
    for number, (name, own, _) in enumerate(panels):
        row = rows.filter(own).row(0, named=True)
        axes = figure.add_subplot(grid[number // across, number % across])
        images.append(_matrix(axes, row["predictions"], class_names, turned=room > 0))
        axes.set_title(
            f"{name}, epoch {row['epoch']}: {100 * row['accuracy']:.1f} % right",
            loc="left", fontweight="bold",
        )  # fmt: skip
        axes.set_xlabel("predicted class (in a cell: share of the row, below it the mean confidence, in %)")
        if number % across == 0:
            axes.set_ylabel("label")
    bar = figure.add_axes((1 - 0.55 / width, 0.2, 0.12 / width, 0.6))
    figure.colorbar(images[0], cax=bar, label="share of the label's examples")
    return figure


class _Panel(NamedTuple):
    name: str  # of the training; of the attack too where there are several
    own: pl.Expr  # the rows of this training and attack
    controls: pl.Expr  # those of the same training without the attack


def _panels(*tables: pl.DataFrame) -> list[_Panel]:
    """Return a panel for each training and attack."""
    attacks = attacks_of(name for table in tables for name in table["examples"])
    found = {pair for table in tables for pair in table.select("training", "examples").unique().rows()}
    return [
        _Panel(
            plain(training_label(training) + (f", {attack}" if len(attacks) > 1 else "")),
            (pl.col("training") == training) & (pl.col("examples") == attack),
            (pl.col("training") == training) & pl.col("examples").is_in([ORIGINAL, RANDOM]),
        )
        for _, training in trainings_of(*tables)
        for attack in attacks
        if (training, attack) in found
    ]


def _matrix(
    axes: Axes, predictions: Sequence[dict[str, Any]], class_names: Sequence[str], *, turned: bool
) -> AxesImage:
    classes = sorted({cell[key] for cell in predictions for key in ("label", "predicted")})
    place = {name: index for index, name in enumerate(classes)}
    counts, confidence = np.zeros((2, len(classes), len(classes)))
    for cell in predictions:
        where = place[cell["label"]], place[cell["predicted"]]
        counts[where], confidence[where] = cell["n"], cell["confidence"]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    for index in range(len(classes)):  # the right answers
        axes.add_patch(Rectangle((index - 0.5, index - 0.5), 1, 1, fill=False, edgecolor=COLOURS[1], linewidth=1))
    ticks = range(0, len(classes), 1 if len(classes) <= 20 else 10)
    labels = [plain(class_label(classes[tick], class_names)) for tick in ticks]
    axes.set_xticks(ticks, labels, rotation=90 if turned else 0)
    axes.set_yticks(ticks, labels)
    axes.spines[:].set_visible(True)
    if len(classes) <= _WRITTEN:
        for row, column in zip(*np.nonzero(counts), strict=True):
            share = shares[row, column]
            axes.text(
                column, row, f"{100 * share:.0f}\n{100 * confidence[row, column]:.0f}", ha="center", va="center",
                fontsize=6, linespacing=1.05, color="white" if share > 0.65 else "black",
            )  # fmt: skip
    return image


def mistakes_figure(rows: pl.DataFrame, saturated: pl.DataFrame, title: str) -> Figure | None:
    """Draw how predictive layers are of the wrong and the true class of misclassified attacked examples.

    Above, layer by layer at the last epoch; below, where it was measured, layer by layer under the strongest
    saturation, and the last layer along saturation: the same examples and the class that was predicted before it.

    Args:
        rows: of one seed, undistorted, as `in_bits` returns them.
        saturated: likewise, of saturated examples.
        title: stands above the figure.

    Returns:
        The figure, or None where nothing was recorded.
    """
    quantities = pl.col("quantity").is_in([MISTAKEN_INFORMATION, TRUE_INFORMATION])
    rows, saturated = last_epoch(rows.filter(quantities)), saturated.filter(quantities)
    if rows.is_empty():  # study one without decoders; study two has decoders trained on clean examples at every layer
        rows = saturated.filter(pl.col("level") == distortion_named("saturation").identity)
    panels = _panels(rows, saturated)
    if not panels:
        return None
    below = 0 if saturated.is_empty() else 2
    across = min(len(panels), _ACROSS)
    lines = math.ceil(len(panels) / across)
    height = 1.1 + 2.3 * (1 + below) * lines
    width = max(5.0, 0.9 + 3.4 * across)
    figure = new_figure(title, width, height)
    edges = {"left": 0.75 / width, "right": 0.98, "top": 1 - 0.55 / height, "bottom": 0.95 / height}
    grid = figure.add_gridspec((1 + below) * lines, across, hspace=0.38, wspace=0.1, **edges)
    axes = grid.subplots(squeeze=False, sharey="row")
    hide_inner_axes(axes, x=False)
    last = saturated.filter(pl.col("layer_index") == pl.col("layer_index").max())
    strongest = saturated.filter(pl.col("level") == pl.col("level").max())
    for number in range(len(panels), lines * across):
        for unused in axes[(1 + below) * (number // across) :, number % across]:
            unused.set_visible(False)
    for number, (name, chosen, controls) in enumerate(panels):
        column, first = number % across, (1 + below) * (number // across)
        own = rows.filter(chosen)
        _layers(axes[first, column], own, "layer", rows.filter(controls))
        count = f": {own['samples'][0]} mistakes" if len(own) else ""
        axes[first, column].set_title(f"{name}{count}", loc="left", fontweight="bold")
        if below:
            own = strongest.filter(chosen)
            label = f"layer, at saturation {level_label(own['level'][0])}" if len(own) else ""
            _layers(axes[first + 1, column], own, label, strongest.filter(controls))
            own = last.filter(chosen)
            levels = sorted(own["level"].unique())
            name = f"saturation level, {own['layer'][0]}" if len(own) else ""
            _curves(
                axes[first + 2, column], own, "level", levels, [level_label(level) for level in levels], plain(name)
            )
    for row in axes:
        row[0].set_ylabel("decoded, bits")
    handles, names = max((one.get_legend_handles_labels() for one in axes.flat), key=lambda pair: len(pair[1]))
    figure.legend(handles, names, loc="lower left", bbox_to_anchor=(0.75 / width, 0), ncols=2)
    return figure


def _layers(axes: Axes, rows: pl.DataFrame, label: str, controls: pl.DataFrame) -> None:
    layers = [name for _, name in layers_of(rows, pixels=True)]
    # in two lines, split at the last dot, so that names like group1.0.activation1 do not overlap
    ticks = [plain(".\n".join(name.rsplit(".", 1))) for name in layers]
    _curves(axes, rows, "layer", layers, ticks, label)
    for examples, marker in ((ORIGINAL, "x"), (RANDOM, "^")):
        own = controls.filter(examples=examples, quantity=MISTAKEN_INFORMATION, estimator=DECODED_TRANSFER)
        own = own.filter(pl.col("layer").is_in(layers)).sort("layer_index")
        if not own.is_empty():
            places = [layers.index(layer) for layer in own["layer"]]
            axes.plot(places, own["value_bits"], label=_CONTROL.format(examples), marker=marker, **_CONTROL_LOOK)


def _curves(axes: Axes, rows: pl.DataFrame, key: str, places: Sequence[Any], ticks: Sequence[str], label: str) -> None:
    if rows.is_empty():
        say_missing(axes, "not measured:\nno decoders, or too few mistakes")
        return
    spot = {place: index for index, place in enumerate(places)}
    floor = -float(rows["ceiling_bits"].to_numpy().max())
    axes.axhline(0, color="#888888", linewidth=0.6, zorder=1)
    for quantity in (MISTAKEN_INFORMATION, TRUE_INFORMATION):
        ceiling = rows.filter(pl.col("quantity") == quantity).unique(key).sort(pl.col(key).replace_strict(spot))
        where = [spot[one] for one in ceiling[key]]
        axes.plot(where, ceiling["ceiling_bits"], **{**CEILING, "color": _COLOUR[quantity]}, label="_ceiling")
    for quantity, estimator, name, line, marker, filled in _CURVES:
        own = rows.filter(pl.col("quantity") == quantity, pl.col("estimator") == estimator)
        own = own.sort(pl.col(key).replace_strict(spot))
        if own.is_empty():
            continue
        drawn = own["value_bits"].clip(lower_bound=floor).to_numpy()
        whole = drawn == own["value_bits"].to_numpy()
        # No interval passes the information of a certain answer; a value above it has no upper part.
        above = (own["drawn_high_bits"] - own["value_bits"]).clip(lower_bound=0).to_numpy()
        errors = np.stack([(own["value_bits"] - own["low_bits"]).to_numpy(), above]) * whole
        colour = _COLOUR[quantity]
        where = [spot[one] for one in own[key]]
        axes.errorbar(
            where, drawn, yerr=errors, color=colour, linestyle=line, marker=marker, markersize=3.5,
            markerfacecolor=colour if filled else "white", linewidth=1, elinewidth=0.8, label=name,
        )  # fmt: skip
        cut = own["value_bits"].to_numpy() < floor  # the interval of confidently wrong decoders has no lower end
        axes.plot(np.array(where)[cut], drawn[cut], "v", color=colour, markersize=5)
        if own["null_bits"].is_not_null().any():
            shown = any(one.get_label() == _NULL for one in axes.lines)  # one label for both classes
            axes.plot(where, own["null_bits"], **_NULL_LOOK, label=f"_{_NULL}" if shown else _NULL)
    axes.set_xticks(range(len(places)), list(ticks))
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.set_xlabel(label)
