"""Figure of where along the layers and epochs the label can be read: a heat map for each kind of examples."""

import math
import unicodedata
from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from infoplane.records.tables import DECODED, DECODED_TRANSFER, KDE_BD, LABEL_INFORMATION, ORIGINAL
from infoplane.report.bits import examples_of, layers_of
from infoplane.report.figure import FigureSpec, NothingToSee
from infoplane.report.labels import RELATIVE, estimator_label, examples_label
from infoplane.report.layer_names import short_layers
from infoplane.report.nothing_to_see import all_at_ceiling, one_epoch
from infoplane.report.recorded import Recorded
from infoplane.report.style import new_figure, plain

MOST_EPOCHS = 16  # columns of a map
_FEWEST = 2  # epochs with decoders, for a map of these
_WRITTEN = 9  # with more columns, cells have no numbers
_COLOURS = "cividis"  # looks alike with and without colour blindness; lightness rises with the value, also in grey
_ACROSS = 3  # maps side by side
_LONGEST = 16  # of a layer's name, in characters

HEAT_MAPS = FigureSpec[Recorded](
    kind="heat-maps",
    per="training",
    section="label",
    caption=(
        "I(T;Y) of each layer (rows, input above) at the measured epochs (columns, about equal steps of their "
        "logarithm), in bits: dark is none, bright is H(Y), the most that there is. One map shows original examples, "
        "and others attacked ones: by decoders trained on clean examples, which find the label where the network "
        "still encodes it as before, and by decoders refitted to the attacked examples, which also read traces of the "
        "attack. Follow a column downwards: where it turns dark, the label is lost. Values below 0 come from decoders "
        "that are confidently wrong, and are as dark as 0. Where decoders were not fitted at two epochs or more, "
        "the KDE estimate (BD-BD) is drawn instead, which is no bound."
    ),
    draw=lambda own: _heat_maps(own),
)


def _heat_maps(own: Recorded) -> Figure | NothingToSee | None:
    return heat_figure(own.rows, f"I(T;Y), layer by epoch, {own.where}")


def heat_figure(rows: pl.DataFrame, title: str) -> Figure | NothingToSee | None:
    """Draw I(T;Y) of one training of one seed, a map for each kind of examples and of decoders.

    Args:
        rows: as `bits.in_bits` returns them.
        title: stands above the figure.

    Returns:
        The figure; the reason if all values are at the ceiling or there is one epoch; None without records.
    """
    rows, maps = _maps(rows)
    if not maps:
        return None
    if nothing := one_epoch(rows["epoch"], "a map over epochs") or all_at_ceiling(rows):
        return nothing
    layers, epochs = layers_of(rows), log_spaced(sorted(set(rows["epoch"])), MOST_EPOCHS)
    across = min(_ACROSS, len(maps))
    lines = math.ceil(len(maps) / across)
    short = short_layers([layer for _, layer in layers], _LONGEST)
    names = 0.35 + 0.07 * max(map(_width, short))  # inches left of a map
    each = max(0.45 + 0.16 * len(layers), 1.0)
    width, height = 10.0, 0.4 + lines * (each + 0.85)
    figure = new_figure(title, width, height)
    grid = figure.add_gridspec(
        lines, across, left=(names + 0.2) / width, right=1 - 0.85 / width, top=1 - 0.8 / height,
        bottom=0.45 / height, wspace=0.06, hspace=0.85 / each,
    )  # fmt: skip
    top = max(float(rows["ceiling_bits"].drop_nulls().to_numpy().max(initial=0)), 1e-9)
    norm = Normalize(0, top)
    for number, (name, own) in enumerate(maps):
        axes = figure.add_subplot(grid[number // across, number % across])
        axes.set_title(plain(name), loc="left", fontweight="bold")
        _draw_map(axes, own, layers, epochs, norm)
        axes.set_yticks(range(len(layers)), [plain(name) for name in short])
        axes.tick_params(length=0, labelleft=number % across == 0)
        axes.set_xlabel("completed epochs")
    bar = figure.add_axes((1 - 0.7 / width, 0.45 / height, 0.12 / width, 1 - 1.25 / height))
    figure.colorbar(ScalarMappable(norm, _COLOURS), cax=bar, label=f"I(T;Y), bits\n(H(Y) is {top:.2f})")
    return figure


def log_spaced(epochs: Sequence[int], most: int) -> list[int]:
    """Return at most `most` of the epochs, about evenly spaced in log(1 + epoch), with the first and the last.

    Args:
        epochs: ascending.
        most: at least 2.
    """
    if len(epochs) <= most:
        return list(epochs)
    places = np.log1p(np.array(epochs, dtype=float))
    wanted = np.linspace(places[0], places[-1], most)
    nearest = np.abs(places[:, None] - wanted).argmin(axis=0)
    return [epochs[place] for place in sorted(set(nearest.tolist()))]


def _maps(rows: pl.DataFrame) -> tuple[pl.DataFrame, list[tuple[str, pl.DataFrame]]]:
    """Return the rows that are drawn, and the title and the rows of each map."""
    rows = rows.filter(pl.col("quantity") == LABEL_INFORMATION, pl.col("class_index").is_null())
    decoded = rows.filter(pl.col("estimator").is_in([DECODED, DECODED_TRANSFER]))
    if decoded["epoch"].n_unique() >= _FEWEST or rows.filter(pl.col("estimator") == KDE_BD).is_empty():
        chosen, estimators = decoded, [DECODED_TRANSFER, DECODED]
    else:
        kinds = set(rows["estimator"])
        name = KDE_BD + RELATIVE if KDE_BD + RELATIVE in kinds else KDE_BD
        chosen, estimators = rows.filter(pl.col("estimator") == name), [name]
    maps = []
    for examples in examples_of(chosen):
        for estimator in estimators:
            own = chosen.filter(pl.col("examples") == examples, pl.col("estimator") == estimator)
            if not own.is_empty():
                maps.append((_map_title(examples, estimator), own))
    return chosen, maps


def _map_title(examples: str, estimator: str) -> str:
    if estimator == DECODED:
        return examples_label(examples) + ("" if examples == ORIGINAL else "\ndecoders refitted")
    if estimator == DECODED_TRANSFER:
        return f"{examples_label(examples)}\ndecoders trained on clean"
    return f"{examples_label(examples)}\n{estimator_label(estimator, LABEL_INFORMATION)}"


def _draw_map(
    axes: Axes, rows: pl.DataFrame, layers: Sequence[tuple[int, str]], epochs: Sequence[int], norm: Normalize
) -> None:
    places = {index: place for place, (index, _) in enumerate(layers)}
    columns = {epoch: place for place, epoch in enumerate(epochs)}
    values = np.full((len(layers), len(epochs)), np.nan)
    for index, epoch, value in rows.select("layer_index", "epoch", "value_bits").rows():
        if index in places and epoch in columns:
            values[places[index], columns[epoch]] = value
    axes.imshow(values, norm=norm, cmap=_COLOURS, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(epochs)), [str(epoch) for epoch in epochs])
    axes.spines[:].set_visible(False)
    if len(epochs) <= _WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = norm(value) < 0.5
                axes.text(
                    column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5,
                    color="white" if dark else "black",
                )  # fmt: skip


def _width(text: str) -> float:
    """Return the width of text in letters; those of some scripts are wider."""
    return sum(1.7 if unicodedata.east_asian_width(one) in "WF" else 1.0 for one in text)
