"""A sheet of example images at every level of a distortion, with what each network takes them for."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from infoplane.distortions import DISTORTIONS
from infoplane.report.bits import level_label
from infoplane.report.labels import training_label
from infoplane.report.style import new_figure, plain

ORIGINAL = "original"
_CELL_INCHES = (1.05, 1.0)  # an image and the words under it take width and height
_LINE_INCHES = 0.12
_LONGEST = 10  # characters of a class name

Sheets = Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]  # by training: images by "version/level", facts


def distortion_sheet(sheets: Sheets, distortion: str, title: str) -> Figure:
    """Draw each shown example in a row as it is and in a row per training attacked, a column per level.

    Under an image stands the class that the network takes it for, with a cross where that is wrong.

    Args:
        sheets: as `RunFolder.read_examples` returns them, of one seed and distortion.
        distortion: its name.
        title: stands above the figure.
    """
    first_images, first_facts = next(iter(sheets.values()))
    keys = {key.partition("/")[::2] for key in first_images}
    levels = sorted({float(level) for _, level in keys}, reverse=DISTORTIONS[distortion].identity == float("inf"))
    versions = sorted({version for version, _ in keys} - {ORIGINAL})
    shown = [(ORIGINAL, list(sheets))] + [(version, [training]) for version in versions for training in sheets]
    number = len(first_facts["labels"])
    width = 1.25 + _CELL_INCHES[0] * len(levels)
    heights = [_CELL_INCHES[1] + _LINE_INCHES * len(trainings) for _, trainings in shown] * number
    height = sum(heights) + 0.75
    figure = new_figure(title, max(width, 6.0), height)
    edges = {"left": 1.15 / max(width, 6.0), "right": 0.99, "top": 1 - 0.6 / height, "bottom": 0.25 / height}
    grid = figure.add_gridspec(len(heights), len(levels), height_ratios=heights, hspace=0.28, wspace=0.06, **edges)
    axes = grid.subplots(squeeze=False)
    for place in range(number):
        for row, (version, trainings) in enumerate(shown, start=place * len(shown)):
            for column, level in enumerate(levels):
                _draw_cell(axes[row, column], sheets, trainings, f"{version}/{level:g}", place)
            name = version if version == ORIGINAL else f"{version},\n{training_label(trainings[0])}"
            label = _class_name(first_facts, first_facts["labels"][place])
            axes[row, 0].set_ylabel(
                plain(f"{label}\n{name}" if version == ORIGINAL else name), rotation=0, ha="right", va="center"
            )
    for column, level in enumerate(levels):
        axes[0, column].set_title(level_label(level), fontweight="bold")
    figure.text(edges["left"], 1 - 0.36 / height, plain(f"{DISTORTIONS[distortion].level}:"), va="top")
    return figure


def _draw_cell(axes: Axes, sheets: Sheets, trainings: list[str], key: str, place: int) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    images, _ = sheets[trainings[0]]
    if key not in images:
        return
    pixels = images[key][place].permute(1, 2, 0).numpy()
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for line, training in enumerate(trainings):
        _, facts = sheets[training]
        predicted, label = facts["predicted"][key][place], facts["labels"][place]
        text = _class_name(facts, predicted) + ("" if predicted == label else " ✗")
        who = f"{training}: " if len(trainings) > 1 else ""
        axes.annotate(
            plain(who + text),
            (0.5, 0),
            xycoords="axes fraction",
            xytext=(0, -2 - 7.5 * line),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=6,
            fontweight="normal" if predicted == label else "bold",
        )


def _class_name(facts: Mapping[str, Any], index: int) -> str:
    name = str(facts["class_names"][index])
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
