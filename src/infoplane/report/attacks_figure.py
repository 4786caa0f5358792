"""Figure of `infoplane attacks`: information of each layer under each attack, as tables of shaded numbers."""

import math

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from infoplane.findings.attack_losses import CARRIED, INPUT, READABLE, Losses, Place, lost_at
from infoplane.report.attack_answers import attack_names
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import training_label
from infoplane.report.layer_names import short_layers
from infoplane.report.recorded import Recorded
from infoplane.report.style import COLOURS, new_figure, plain, say_missing
from infoplane.runs.attack_files import AttackFiles, Traces

_BITS = 1 / math.log(2)
_LONGEST = 8  # letters of a layer's name
_PANELS = (
    (CARRIED, "I(T;Y), decoders of originals"),
    (READABLE, "I(T;Y), decoders refitted"),
    (INPUT, "I(X;T), KDE (BD), relative noise"),
)

ATTACKS_FIGURE = FigureSpec[Recorded](
    kind="attacks",
    section="attacks",
    caption=(
        "Information of each layer in bits, on originals (above) and on the examples of each attack. Left: what "
        "decoders of originals read, below 0 where they are misled; the framed layer is where the label is lost: "
        "from it on every layer has lost more than half of what the last one has lost, and something beyond its 95 % "
        "interval. Middle: what decoders refitted to the attacked examples read, traces of the attack included. "
        "Right: I(X;T). White: the same as the originals of that layer; the deeper the colour, the larger the "
        "difference in bits: blue is less, red is more. A bold number differs beyond its 95 % interval, paired over "
        "examples."
    ),
    draw=lambda own: attacks_figure(AttackFiles(own.run).read_all(), f"Traces of attacks ({own.name})"),
)


def attacks_figure(found: Traces, title: str) -> Figure | None:
    """Draw a row of panels per training: a line per attack, a column per layer.

    Args:
        found: records of all networks.
        title: stands above the figure.

    Returns:
        The figure, or None where nothing was recorded.
    """
    losses = Losses(found.measurements)
    if not losses.trainings:
        return None
    lines = {training: 1 + len(losses.attacks(training)) for training in losses.trainings}
    columns = max(len(losses.layers(training)) for training in losses.trainings)
    heights = [0.85 + 0.19 * number for number in lines.values()]
    width, height = max(8.0, 1.6 + 3 * 0.5 * columns + 0.5), 0.65 + sum(heights)
    figure = new_figure(title, width, height)
    grid = figure.add_gridspec(
        len(lines), len(_PANELS), height_ratios=heights, left=1.15 / width, right=0.99,
        top=1 - 0.95 / height, bottom=0.12 / height, wspace=0.06, hspace=1.0 / max(1.0, float(np.mean(heights))),
    )  # fmt: skip
    for row, training in enumerate(losses.trainings):
        own = attack_names(found.outcomes.filter(pl.col("training") == training))
        for column, (reading, name) in enumerate(_PANELS):
            axes = figure.add_subplot(grid[row, column])
            axes.set_title(name, loc="left", pad=20, fontsize=7)
            _panel(axes, losses, training, reading, own, named=column == 0)
            if column == 0:
                axes.annotate(
                    plain(training_label(training).capitalize()), (0, 1), xycoords="axes fraction", xytext=(-78, 33),
                    textcoords="offset points", fontweight="bold", annotation_clip=False,
                )  # fmt: skip
    return figure


def _panel(axes: Axes, losses: Losses, training: str, reading: str, names: dict[str, str], *, named: bool) -> None:
    layers, attacks = losses.layers(training), losses.attacks(training)
    known = {place: value for place, value in losses.values.items() if place[0] == training and place[3] == reading}
    if not known:
        say_missing(axes, "not measured:\ntoo few examples")
        return
    shades = np.zeros((1 + len(attacks), len(layers)))
    largest = max(1.0, *(_BITS * original for original, _ in known.values()))
    for column, layer in enumerate(layers):
        for row, examples in enumerate(attacks, start=1):
            place = Place(training, examples, layer, reading)
            if place not in known:
                continue
            original, attacked = (_BITS * value for value in known[place])
            shades[row, column] = np.clip(attacked - original, -largest, largest)
            interval = losses.paired[place].evidence().interval()
            clear = interval.low > 0 or interval.high < 0
            _number(axes, column, row, attacked, strong=abs(shades[row, column]) > 0.7 * largest, bold=clear)
            if row == 1:
                _number(axes, column, 0, original)
    axes.imshow(shades, cmap="RdBu_r", vmin=-largest, vmax=largest, aspect="auto")
    axes.axhline(0.5, color="black", linewidth=0.8)
    if reading == CARRIED:
        for row, examples in enumerate(attacks, start=1):
            found = lost_at(losses, training, examples)
            if found is not None and found.layer is not None:
                corner = (layers.index(found.layer) - 0.47, row - 0.45)
                axes.add_patch(Rectangle(corner, 0.94, 0.9, fill=False, edgecolor=COLOURS[5], linewidth=1.6))
    axes.set_xticks(
        range(len(layers)), [plain(name) for name in short_layers([layer for _, layer in layers], _LONGEST)]
    )
    axes.xaxis.tick_top()
    ticks = ["original", *(plain(names.get(examples, examples)) for examples in attacks)]
    axes.set_yticks(range(len(ticks)), ticks if named else [""] * len(ticks))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _number(axes: Axes, column: int, row: int, value: float, *, strong: bool = False, bold: bool = False) -> None:
    axes.text(
        column, row, f"{value:.2f}", ha="center", va="center", fontsize=6.5,
        color="white" if strong else "black", fontweight="bold" if bold else "normal",
    )  # fmt: skip
