"""Figure of example images at every level of a distortion, with the class that each network predicts."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from infoplane.distortions import distortion_named
from infoplane.records.tables import ORIGINAL
from infoplane.report.bits import level_label, trainings_of
from infoplane.report.examples import attacks_of
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import training_label
from infoplane.report.recorded import Recorded
from infoplane.report.style import new_figure, plain

_IMAGE_INCHES, _GAP_INCHES, _LINE_INCHES = 0.92, 0.06, 0.115
_LEFT_INCHES, _TOP_INCHES = 1.25, 0.62
_LONGEST = 10  # longest class name, in characters

Sheets = Mapping[str, tuple[Mapping[str, Tensor], Mapping[str, Any]]]  # by training: images by "version/level", facts

DISTORTION_SHEET = FigureSpec[Recorded](
    kind="distortion-sheet",
    per="distortion",
    section="distortion",
    caption=(
        "A few examples at every level of a distortion, clean and attacked (the attack first, then the distortion). "
        "Below each image stands the class that the network predicts; a cross marks a wrong one. The attack was made "
        "on the network that is named beside the row."
    ),
    draw=lambda own: _sheet(own),
)


def _sheet(own: Recorded) -> Figure | None:
    distortion, seed, sheets = own.distortion, own.seed, {}
    if distortion is None or seed is None:
        return None
    for (study,) in own.distorted_performance.select("study").unique().rows():
        for _, training in trainings_of(own.distorted_performance):
            if kept := own.run.read_examples(study, seed, training, distortion):
                sheets[training] = kept
    if not sheets:
        return None
    return distortion_sheet(sheets, distortion, f"Examples under {distortion}, {own.where}")


def distortion_sheet(sheets: Sheets, distortion: str, title: str) -> Figure:
    """Draw each example in one row without an attack and in one row attacked per training, with a column per level.

    Below each image stands the class that the network predicts; a cross marks a wrong one.

    Args:
        sheets: as `RunFolder.read_examples` returns them, of one seed and distortion.
        distortion: its name.
        title: stands above the figure.
    """
    first_images, first_facts = next(iter(sheets.values()))
    keys = {key.partition("/")[::2] for key in first_images}
    levels = distortion_named(distortion).ordered({float(level) for _, level in keys})
    versions = attacks_of(version for version, _ in keys)
    shown = [(ORIGINAL, list(sheets))] + [(version, [training]) for version in versions for training in sheets]
    number = len(first_facts["labels"])
    row_inches = [_IMAGE_INCHES + _GAP_INCHES + _LINE_INCHES * len(trainings) for _, trainings in shown]
    width = max(5.0, _LEFT_INCHES + len(levels) * (_IMAGE_INCHES + _GAP_INCHES) + 0.1)
    height = _TOP_INCHES + number * sum(row_inches) + 0.1
    figure = new_figure(title, width, height)
    top = height - _TOP_INCHES
    for place in range(number):
        for (version, trainings), inches in zip(shown, row_inches, strict=True):
            for column, level in enumerate(levels):
                left = _LEFT_INCHES + column * (_IMAGE_INCHES + _GAP_INCHES)
                corner = (left / width, (top - _IMAGE_INCHES) / height)
                axes = figure.add_axes((*corner, _IMAGE_INCHES / width, _IMAGE_INCHES / height))
                _draw_cell(axes, sheets, trainings, f"{version}/{level:g}", place)
                if column == 0:
                    label = _class_name(first_facts, first_facts["labels"][place])
                    about = ORIGINAL if version == ORIGINAL else f"{version}\n({training_label(trainings[0])})"
                    axes.set_ylabel(plain(f"{label}, {about}"), rotation=0, ha="right", va="center")
                if top == height - _TOP_INCHES:
                    axes.set_title(level_label(level), fontweight="bold")
            top -= inches
    level_name = distortion_named(distortion).level
    figure.text((_LEFT_INCHES - 0.06) / width, 1 - (_TOP_INCHES - 0.05) / height, level_name, ha="right", va="bottom")
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
        words = who + text
        axes.annotate(
            plain(words),
            (0.5, 0),
            xycoords="axes fraction",
            xytext=(0, -2 - 7.5 * line),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=6 * min(1, 20 / len(words)),  # not wider than the image
            fontweight="normal" if predicted == label else "bold",
        )


def _class_name(facts: Mapping[str, Any], index: int) -> str:
    name = str(facts["class_names"][index])
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
