"""One figure of a plane as it is now: the path of each layer over epochs, on original and attacked examples."""

import io
import math
from pathlib import Path

import polars as pl
from matplotlib.figure import Figure

from infoplane.errors import UserError
from infoplane.records.tables import ADVERSARIAL, ORIGINAL, RANDOM
from infoplane.report.bits import in_bits, layers_of, plane_points, trainings_of, trusted_planes
from infoplane.report.examples import attacks_of
from infoplane.report.labels import RELATIVE, estimator_label, estimator_order, training_label
from infoplane.report.planes import draw_plane, plane_legend
from infoplane.report.style import epoch_bar, epoch_norm, figure_style, plain, say_missing, title_layer
from infoplane.runs.whole_files import write_whole

_COLUMNS, _WIDTH, _ROW = 6, 10.0, 1.9  # planes beside each other; inches
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.75, 0.95, 0.75, 0.65  # margins, inches
_DOTS_PER_INCH = 130
_SUFFIXES = (".png", ".pdf", ".svg")


class ShownFigure(Figure):
    """A matplotlib figure that notebooks show, also without pyplot."""

    def _repr_png_(self) -> bytes:
        return _content(self, "png")


def plane_figure(measurements: pl.DataFrame, name: str) -> ShownFigure:
    """Draw the planes of the most trustworthy estimator that there is, in bits: a block of layers for each training.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        name: for the title.
    """
    points = plane_points(in_bits(measurements))
    estimator = _estimator(points)
    points = points.filter(pl.col("estimator") == estimator, pl.col("examples") != RANDOM)
    with figure_style():
        return _drawn(points, estimator, name)


def _estimator(points: pl.DataFrame) -> str:
    if (trusted := trusted_planes(points)) is not None:
        return trusted[0]
    # Fixed noise can be small against a layer: then I(X;T) is at its ceiling in every panel.
    known = points["estimator"].unique()
    return min(known, key=lambda name: (not name.endswith(RELATIVE), *estimator_order(name)), default="")


def _drawn(points: pl.DataFrame, estimator: str, name: str) -> ShownFigure:
    blocks = [
        (seed, training, points.filter(pl.col("seed") == seed, pl.col("training") == training))
        for seed, training in trainings_of(points)
    ]
    heights = [math.ceil(len(layers_of(own)) / _COLUMNS) or 1 for _, _, own in blocks] or [1]
    height = _BELOW + sum(_ABOVE + rows * _ROW for rows in heights)
    figure = ShownFigure(figsize=(_WIDTH, height))
    title = f"Information plane: {name if len(name) <= 80 else name[:79] + '…'}"
    figure.suptitle(plain(title), fontsize=9, x=_LEFT / _WIDTH, y=1 - 0.1 / height, ha="left", va="top", weight="bold")
    if not blocks:
        say_missing(figure.add_subplot(), "nothing has been measured yet")
        return figure
    norm = epoch_norm(points["epoch"])
    top = 0.0
    for (seed, training, own), rows in zip(blocks, heights, strict=True):
        head = f"{training_label(training)}, seed {seed}; {estimator_label(estimator)}"
        figure.text(_LEFT / _WIDTH, 1 - (top + 0.33) / height, plain(head), va="top")
        top += _ABOVE
        _draw_block(figure, own, (top, rows), height, norm)
        top += rows * _ROW
    epoch_bar(figure, norm, (1 - 0.7 / _WIDTH, 1 - (_ABOVE + 1.5) / height, 0.12 / _WIDTH, 1.4 / height))
    figure.legend(handles=plane_legend(points), loc="lower center", ncol=4, columnspacing=1.4)
    return figure


def _draw_block(
    figure: ShownFigure, points: pl.DataFrame, place: tuple[float, int], height: float, norm: object
) -> None:
    """Draw the layers of one training, row by row.

    Args:
        figure: to draw on.
        points: of this training.
        place: inches above the block, and its number of rows.
        height: of the figure, in inches.
        norm: from epochs to colours.
    """
    above, rows = place
    layers, examples = layers_of(points), [ORIGINAL, *(attacks_of(points["examples"]) or [ADVERSARIAL])]
    grid = figure.add_gridspec(
        rows,
        min(_COLUMNS, len(layers)),
        left=_LEFT / _WIDTH,
        right=1 - _RIGHT / _WIDTH,
        top=1 - above / height,
        bottom=1 - (above + rows * _ROW - 0.45) / height,
        hspace=0.45,
        wspace=0.12,
    )
    limits = {"xlim": _limits(points, "input"), "ylim": _limits(points, "label")}
    for number, (index, layer) in enumerate(layers):
        row, column = divmod(number, _COLUMNS)
        axes = figure.add_subplot(grid[row, column])
        draw_plane(axes, points, index, norm, examples)  # type: ignore[arg-type]
        axes.set(**limits)
        for text in axes.texts:  # the value of a ceiling that is outside
            text.set_clip_on(True)
        axes.tick_params(labelleft=column == 0)
        title_layer(axes, layer)
        if column == 0:
            axes.set_ylabel("I(T;Y), bits")
        if number + _COLUMNS >= len(layers):
            axes.set_xlabel("I(X;T), bits")


def _limits(points: pl.DataFrame, side: str) -> tuple[float, float]:
    """Return limits around the drawn values, so that points fill the plane; a ceiling far above them is left out."""
    values = points[f"{side}_drawn_bits"]
    low, high = float(values.min()), float(values.max())  # type: ignore[arg-type]
    margin = max(0.08 * (high - low), 0.05)
    return low - margin, high + margin


def write_figure(figure: Figure, path: Path) -> None:
    """Write a figure as .png, .pdf or .svg, whole or not at all.

    Raises:
        UserError: the path has another suffix.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UserError(f"{path} must end in {', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]}")
    write_whole(path, _content(figure, path.suffix.lower()[1:]))


def _content(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    with figure_style():
        figure.savefig(buffer, format=kind, dpi=_DOTS_PER_INCH)
    return buffer.getvalue()
