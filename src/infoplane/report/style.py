"""Style and saving of all figures; equal records give equal bytes."""

import gc
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from infoplane.report.figure_formats import FORMATS, Format, figure_bytes
from infoplane.runs.whole_files import write_whole

PAGE_INCHES = (10.0, 7.0)  # a full landscape page, on which 7 pt text is printed at 7 pt

# Okabe & Ito's colours, ordered so that neighbours differ in lightness too and survive a greyscale print; after them,
# for as many trainings as there are methods, others that differ from them and from each other.
COLOURS = (
    "#0B3C6F", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7F7F7F",
    "#6B3F1D", "#A6D854", "#882255", "#000000", "#7B5BE0", "#2F54EB", "#2E6B0E",
    "#F0207A", "#8A9A00", "#FF8A80",
)  # fmt: skip
LINES: tuple[Literal["-", "--", ":", "-."], ...] = ("-", "--", ":", "-.")
CEILING: dict[str, Any] = {"color": "#555555", "linewidth": 0.7, "linestyle": (0, (5, 3)), "zorder": 1}
NULL_COLOUR = "#B9B0A2"

STYLE = {
    "font.family": "DejaVu Sans",  # part of matplotlib, so that every machine draws the same figure
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 4,
    "axes.titley": 1.0,  # by default, matplotlib measures every tick label to place a title
    "axes.labelpad": 2,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2,
    "ytick.major.pad": 2,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.1,
    "pdf.fonttype": 42,  # editable text rather than outlines
}


def stacked(rank: int, number: int) -> dict[str, float]:
    """Return the size of one of `number` curves on top of each other; lower ones are wider, so all are visible."""
    below = (number - 1 - rank) * min(1.0, 3 / max(number - 1, 1))  # at most the width for four curves
    return {"linewidth": 1.1 + 1.6 * below, "markersize": 2.5 + 2 * below}


@contextmanager
def figure_style() -> Iterator[None]:
    """Use the report's style inside the block, whatever matplotlibrc says; restore the settings after it."""
    with matplotlib.style.context(["default", STYLE]), _collector_at_rest(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from")  # a name in a script that the font lacks
        yield


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Turn off the garbage collector while a figure with thousands of objects grows; this saves a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def epoch_colours() -> Colormap:
    """Return viridis without its palest end, which is invisible on white; lightness rises with epoch, also in grey."""
    return ListedColormap(mpl.colormaps["viridis"](np.linspace(0, 0.93, 256)), name="epochs")


def epoch_norm(epochs: Any) -> Normalize:
    """Return the map from epochs 0 to the last to colours; a single epoch gets a scale too."""
    return Normalize(0, max(1, *epochs) if len(epochs) else 1)


def epoch_bar(figure: Figure, norm: Normalize, place: tuple[float, float, float, float]) -> None:
    """Draw the colours of the epochs at `place` (left, bottom, width, height)."""
    bar = figure.add_axes(place)
    figure.colorbar(ScalarMappable(norm, epoch_colours()), cax=bar, label="completed epochs")
    bar.yaxis.set_major_locator(MaxNLocator(integer=True))


def plain(text: str) -> str:
    """Escape `$` in a layer's name, which would begin a formula."""
    return text.replace("$", r"\$")


def title_layer(axes: Axes, layer: str) -> None:
    """Set a layer's name as the title of axes; a long name keeps its end, which differs between layers of a block."""
    axes.set_title(plain(layer if len(layer) <= 21 else "…" + layer[-20:]), loc="left", fontweight="bold")


def say_missing(axes: Axes, text: str) -> None:
    """Write into empty axes what is missing there."""
    axes.text(0.5, 0.5, plain(text), transform=axes.transAxes, ha="center", va="center", color="#666666")
    axes.tick_params(left=False, bottom=False, labelleft=False, labelbottom=False)
    axes.spines[:].set_color("#CCCCCC")


def say_constant(axes: Axes, note: str) -> None:
    """Write into axes what their curves would show, if it is nothing; their ticks stay, for the axes beside them."""
    axes.text(0.5, 0.5, plain(note), transform=axes.transAxes, ha="center", va="center", color="#666666")


def new_figure(title: str, width: float, height: float) -> Figure:
    """Return a figure of this size, in inches, with its title above the first axes."""
    figure = Figure(figsize=(width, height))
    left = 0.75 / width
    size = 9 * min(1.0, (width - 0.9) / (0.083 * max(len(title), 1)))  # a long title gets smaller letters
    figure.suptitle(plain(title), fontsize=size, x=left, y=1 - 0.1 / height, ha="left", va="top", fontweight="bold")
    return figure


def layer_grid(
    title: str,
    layers: Sequence[tuple[int, str]],
    rows: int,
    row_inches: float,
    legend: Sequence[Artist] = (),
) -> tuple[Figure, Any]:
    """Return a figure over epochs and its axes `[row, layer]`; a row shares its y axis, and room is left for a legend.

    Args:
        title: stands above the figure.
        layers: (index, name), a column each.
        rows: at least one.
        row_inches: height of a row.
        legend: labelled handles, written below in as many lines as they need; without, there is room for two lines.
    """
    width = max(PAGE_INCHES[0], 1.7 * len(layers))
    lengths = [len(str(handle.get_label())) for handle in legend]
    in_one_line = len(legend) <= 8 and sum(0.4 + 0.053 * length for length in lengths) <= width + 0.3
    columns = 8 if in_one_line else min(8, int(width / (0.55 + 0.055 * max(lengths))))
    below = 0.8 + 0.16 * max(0, math.ceil(len(legend) / columns) - 2)
    height = 0.4 + below + row_inches * rows
    figure = new_figure(title, width, height)
    edges = {"left": 0.75 / width, "right": 0.99, "top": 1 - 0.5 / height, "bottom": below / height}
    if legend:
        figure.legend(handles=list(legend), loc="lower center", ncol=columns, columnspacing=1.4)
    grid = figure.add_gridspec(rows, len(layers), hspace=0.2, wspace=0.1, **edges)
    # Sharing x among all is what matplotlib asks about at every step, each time of all of them: see `align_epochs`.
    axes = grid.subplots(squeeze=False, sharex="col", sharey="row")
    hide_inner_axes(axes)
    for column, (_, layer) in enumerate(layers):
        title_layer(axes[0, column], layer)
        axes[-1, column].set_xlabel("completed epochs")
    return figure, axes


def hide_inner_axes(axes: Any, *, x: bool = True, y: bool = True) -> None:
    """Hide axes that repeat those at the edge of a grid: drawing their ticks takes most of the time of a figure.

    Args:
        axes: `[row, column]`; the axes of a column share x, those of a row share y.
        x: hide the x axes above the last row.
        y: hide the y axes right of the first column.
    """
    for one in axes[:-1].flat if x else ():
        one.xaxis.set_visible(False)
    for one in axes[:, 1:].flat if y else ():
        one.yaxis.set_visible(False)


def legend_columns(labels: Sequence[str], width: float) -> int:
    """Return the largest number of columns of a legend that fits into `width` inches; matplotlib fills it by columns.

    Args:
        labels: at least one, of 7 pt; may have several lines.
        width: in inches.
    """
    lengths = [max(map(len, label.splitlines() or [""])) for label in labels]
    for columns in range(len(labels), 1, -1):
        parts = np.array_split(lengths, columns)
        if sum(0.55 + 0.052 * part.max() for part in parts) <= width:
            return columns
    return 1


def align_epochs(axes: Any) -> None:
    """Set the same x limits, which include every epoch, for all columns of a drawn `layer_grid`, also empty ones."""
    drawn = [column for column in axes.T if any(one.has_data() for one in column)]
    limits = [column[0].get_xlim() for column in drawn]
    if limits:
        for column in axes.T:
            column[0].set_xlim(min(low for low, _ in limits), max(high for _, high in limits))


def save_figure(figure: Figure, stem: Path, formats: Sequence[Format] = FORMATS) -> None:
    """Write `stem`.svg, `stem`.png and `stem`.pdf, without date or version.

    Args:
        figure: drawn in `figure_style`.
        stem: path without suffix.
        formats: which of the files to write.
    """
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if not axis.get_label_text():  # by default, matplotlib measures all tick labels to place an empty label
                axis.set_label_coords(0, 0)
    for form in formats:
        write_whole(stem.with_name(f"{stem.name}.{form}"), figure_bytes(figure, form))
    gc.collect(0)  # frees the previous figure, which is in the youngest generation


def log_axis(axis: Axis) -> None:
    """Put a few plain numbers on a logarithmic axis with fixed limits."""
    low, high = sorted(axis.get_view_interval())
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,), numticks=5))
    axis.set_major_formatter(lambda value, _: _short_number(value))
    axis.set_minor_locator(NullLocator())


def _short_number(value: float) -> str:
    """Write a number on an axis: 1e5 and 1e-5 rather than 100000 and 1e-05, which would touch their neighbours."""
    if 1e-4 < abs(value) < 1e5:
        return f"{value:g}"
    digits, _, power = f"{value:.0e}".partition("e")
    return f"{digits}e{int(power)}" if value else "0"


def epoch_axis(axes: Axes, epochs: Any) -> None:
    """Put whole epochs on the x axis, also if there is only one."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10]))
    if len(epochs) and min(epochs) == max(epochs):
        axes.set(xlim=(min(epochs) - 0.6, max(epochs) + 0.6), xticks=[min(epochs)])
