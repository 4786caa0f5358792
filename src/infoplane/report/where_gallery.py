"""Figure of misclassified images by class and mistaken class, with the layer at which each loses its label."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from infoplane.findings.where_lost import layers_in_order, lost_places, places_in_order
from infoplane.findings.where_sentences import attack_names
from infoplane.records.tables import ORIGINAL
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import training_label
from infoplane.report.layer_names import short_layers
from infoplane.report.recorded import Recorded
from infoplane.report.style import COLOURS, new_figure, plain
from infoplane.report.subject import class_label
from infoplane.report.where_figure import SHORT, shown_kinds
from infoplane.runs.where_files import WhereFiles

_COLUMNS, _CELL, _IMAGE, _CURVE, _TEXT, _HEAD = 8, 1.18, 0.86, 0.4, 0.14, 0.3  # inches but for the first
_TALL = 2 * _TEXT + _IMAGE + _CURVE + 0.2
_BITS = 1 / math.log(2)

WHERE_GALLERY = FigureSpec[Recorded](
    kind="lost-labels-gallery",
    section="where",
    caption=(
        "Images that the attack makes misclassified, as the network of the first seed sees them: the first example of "
        "each class and mistaken class (both above the image), the most frequent pairs first. Below: the layer at "
        "which the decoders lose the label, and pointwise information along the layers, of the attacked image "
        "(orange) and of the original (grey). Each curve has its own scale; the dashed line is 0, and the circle "
        "marks the layer of the loss. A single curve is the value of its decoders and can be wrong."
    ),
    draw=lambda own: where_gallery_figure(own),
)


class Shown(NamedTuple):
    """One image of the gallery."""

    image: NDArray[np.uint8]  # (height, width) or (height, width, 3)
    head: str
    place: str
    lost: int | None  # index of the layer of the loss
    bits: NDArray[np.float64]  # (layers,)
    original_bits: NDArray[np.float64]  # (layers,)


def where_gallery_figure(own: Recorded) -> Figure | None:
    """Draw a block per training, or return None where no image is misclassified."""
    files = WhereFiles(own.run)
    blocks = gallery_blocks(files, own.class_names)
    if not blocks:
        return None
    heights = [_HEAD + _TALL * math.ceil(len(shown) / _COLUMNS) for shown in blocks.values()]
    width, height = 0.75 + _CELL * _COLUMNS, 0.5 + sum(heights)
    figure = new_figure(f"Where single images lose their label ({own.name})", width, height)
    top = height - 0.4
    for (title, shown), tall in zip(blocks.items(), heights, strict=True):
        axes = figure.add_axes((0.65 / width, (top - tall) / height, _CELL * _COLUMNS / width, tall / height))
        axes.text(0.1, tall - 0.12, plain(title), fontweight="bold", va="center")
        for number, one in enumerate(shown):
            left, row = _CELL * (number % _COLUMNS), number // _COLUMNS
            _cell(axes, one, left + (_CELL - _IMAGE) / 2, tall - _HEAD - _TALL * row)
        axes.set(xlim=(0, _CELL * _COLUMNS), ylim=(0, tall), aspect="auto")
        axes.set_axis_off()
        top -= tall
    return figure


def gallery_blocks(files: WhereFiles, class_names: Sequence[str]) -> dict[str, list[Shown]]:
    """Return the images to show by the title of their block: of each training, at its first seed and main attack.

    Args:
        files: of the run.
        class_names: empty if the run does not record them.
    """
    pointwise, layers = files.read()
    names, blocks = attack_names(layers), {}
    for training in pointwise["training"].unique(maintain_order=True).to_list():
        of_training = pointwise.filter(training=training)
        seed = sorted(of_training["seed"].unique().to_list())[0]
        network = of_training.filter(seed=seed)
        kinds = [kind for kind in shown_kinds(network["examples"].unique().to_list()) if kind != ORIGINAL]
        kind = kinds[0] if kinds else ORIGINAL
        kept = files.read_gallery(seed, training)
        if kept is None or kind not in kept[0]:
            continue
        images, facts = kept
        pixels = images[kind].permute(0, 2, 3, 1).numpy()
        curves = [_one_image(network, kind, example) for example in facts["examples"][kind]]
        places = lost_places(network).filter(examples=kind)
        names_of = dict(places_in_order(short_layers(layers_in_order(network, training), SHORT)))
        shown = []
        for image, (bits, before), example in zip(pixels, curves, facts["examples"][kind], strict=True):
            row = places.row(by_predicate=pl.col("example") == example, named=True)
            place = names_of[row["place"]]
            mistaken = f"{class_label(row['label'], class_names)} → {class_label(row['predicted'], class_names)}"
            lost = row["place"] if 0 <= row["place"] < len(bits) else None
            said = f"lost at {place}" if lost is not None else place
            shown.append(
                Shown(image.squeeze(-1) if image.shape[-1] == 1 else image, mistaken, said, lost, bits, before)
            )
        if shown:
            who = f"after {names.get(kind, kind)}" if kind != ORIGINAL else "without an attack"
            blocks[f"{training_label(training).capitalize()}, seed {seed}, {who}"] = shown
    return blocks


def _one_image(network: pl.DataFrame, kind: str, example: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return pointwise information along the layers, in bits, of one version of an example and of its original."""
    own = network.filter(example=example).sort("layer_index")
    attacked, original = (_BITS * own.filter(examples=name)["information_nats"].to_numpy() for name in (kind, ORIGINAL))
    return attacked, original


def _cell(axes: Axes, one: Shown, left: float, top: float) -> None:
    """Draw one image with its curve; `left` and `top` are in inches."""
    middle, below = left + _IMAGE / 2, top - _TEXT - _IMAGE
    axes.text(
        middle, top - _TEXT / 2, plain(one.head), ha="center", va="center", fontsize=min(6.5, 130 / len(one.head))
    )
    axes.imshow(
        one.image, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto",
        extent=(left, left + _IMAGE, below, below + _IMAGE),
    )  # fmt: skip
    size = min(6.5, 110 / len(one.place))
    axes.text(middle, below - _TEXT / 2 - 0.01, plain(one.place), ha="center", va="center", fontsize=size)
    ends = np.concatenate([one.bits, one.original_bits, [0.0]])
    low, high = ends.min(), max(ends.max(), ends.min() + 1e-9)
    bottom = below - _TEXT - _CURVE
    x = left + _IMAGE * (np.arange(len(one.bits)) + 0.5) / len(one.bits)

    def placed(bits: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.asarray(bottom + 0.03 + (_CURVE - 0.06) * (bits - low) / (high - low))

    axes.plot([left, left + _IMAGE], [placed(0.0)] * 2, color="#555555", linewidth=0.5, linestyle=(0, (5, 3)))
    axes.plot(x, placed(one.original_bits), color="#8A8A8A", linewidth=0.9, marker=".", markersize=2)
    axes.plot(x, placed(one.bits), color=COLOURS[5], linewidth=1.1, marker=".", markersize=2.5)
    if one.lost is not None:
        at = (x[one.lost], placed(one.bits)[one.lost])
        axes.plot(*at, marker="o", markersize=5, markerfacecolor="none", markeredgecolor="black", markeredgewidth=0.8)
