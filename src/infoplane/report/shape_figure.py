"""Figures of `infoplane shape`: shape bias, decoded information about both cues, and some of the images."""

import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infoplane.findings.shape_bias import shape_bias
from infoplane.findings.shape_layers import cue_layers
from infoplane.measuring.exchanged import kind_title
from infoplane.records.shape import UNTRAINED
from infoplane.records.tables import DECODED, DECODED_TRANSFER
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import training_label
from infoplane.report.layer_names import short_layers
from infoplane.report.recorded import Recorded
from infoplane.report.style import COLOURS, NULL_COLOUR, new_figure, plain
from infoplane.report.subject import class_label
from infoplane.report.where_figure import SHORT
from infoplane.runs.shape_files import CueRecords, ShapeFiles

_BITS = 1 / math.log(2)
_CUES = (("shape", COLOURS[0]), ("texture", COLOURS[5]))
_LINES = ((DECODED_TRANSFER, "-", "o", "trained on clean"), (DECODED, ":", "x", "refitted"))
_CELL = 1.1  # inches of an image with its text

SHAPE_BIAS = FigureSpec[Recorded](
    kind="shape-bias",
    section="shape",
    caption=(
        "Shape bias: the share of the shape's class among the answers that name the class of the shape or of the "
        "texture, with 95 % intervals, for each kind of conflicts. The percentage in a bar is the share of the images "
        "that are answered so. Grey lines: the mean and central 95 % for permuted pairs of classes."
    ),
    draw=lambda own: shape_bias_figure(ShapeFiles(own.run).read(), f"Shape bias ({own.name})"),
)
CUE_LAYERS = FigureSpec[Recorded](
    kind="shape-and-texture-layers",
    section="shape",
    caption=(
        "Decoded information about the class of the shape and of the texture along the layers, in bits, with 95 % "
        "intervals. Solid: decoders trained on images without a conflict; below 0, they are misled. Dotted: decoders "
        "refitted to conflicts. Grey: decoded information about the label of images without a conflict."
    ),
    draw=lambda own: cue_layers_figure(ShapeFiles(own.run).read(), f"Shape and texture along the layers ({own.name})"),
)
CONFLICT_IMAGES = FigureSpec[Recorded](
    kind="shape-and-texture-images",
    section="shape",
    caption=(
        "Some of the conflicts, as the networks see them. Above each image: the class of its shape, then that of its "
        "texture."
    ),
    draw=lambda own: conflict_images_figure(own),
)


def shape_bias_figure(found: CueRecords, title: str) -> Figure | None:
    """Draw a group of bars per kind of conflicts, a bar per training; None where nothing was recorded.

    Args:
        found: records of all networks.
        title: stands above the figure.
    """
    biases = shape_bias(found.answers)
    if biases.is_empty():
        return None
    kinds = biases.select("kind", "width").unique(maintain_order=True).rows()
    trainings = biases["training"].unique(maintain_order=True).to_list()
    width, height = max(6.0, 1.2 + 0.5 * len(kinds) * len(trainings)), 2.8
    figure = new_figure(title, width, height)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.75 / width, right=0.99, top=1 - 0.65 / height, bottom=0.35 / height)
    bar = 0.8 / len(trainings)
    for rank, training in enumerate(trainings):
        name = "initial weights" if training == UNTRAINED else training_label(training)
        colour = COLOURS[6] if training == UNTRAINED else COLOURS[rank % len(COLOURS)]
        for place, (kind, blur) in enumerate(kinds):
            own = biases.filter(pl.col("width").eq_missing(pl.lit(blur, pl.Float64)), kind=kind, training=training)
            if len(own) and own["bias"][0] is not None:
                _bar(axes, place - 0.4 + (rank + 0.5) * bar, bar, own.row(0, named=True), colour)
        axes.bar(np.nan, np.nan, color=colour, label=plain(name))
    axes.set_xticks(range(len(kinds)), [plain(kind_title(*kind)) for kind in kinds])
    axes.set(ylim=(0, 100), xlim=(-0.5, len(kinds) - 0.5), ylabel="shape bias (%)")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.0), ncol=4, borderaxespad=0.2)
    return figure


def _bar(axes: Axes, place: float, width: float, row: dict[str, float], colour: str) -> None:
    bias, low, high = (100 * row[name] for name in ("bias", "bias_low", "bias_high"))
    error = np.array([[bias - low], [high - bias]]).clip(min=0)
    axes.bar(place, bias, 0.92 * width, yerr=error, color=colour, error_kw={"elinewidth": 0.8, "capsize": 1.5})
    ends = place - 0.46 * width, place + 0.46 * width
    if row["permuted_bias"] is not None:
        axes.fill_between(ends, 100 * row["permuted_low"], 100 * row["permuted_high"], color=NULL_COLOUR, alpha=0.45)
        axes.plot(ends, [100 * row["permuted_bias"]] * 2, color=NULL_COLOUR, linewidth=0.9)
    axes.annotate(
        f"{100 * row['answered_share']:.0f} %", (place, 1.5), ha="center", fontsize=6,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
    )  # fmt: skip


def cue_layers_figure(found: CueRecords, title: str) -> Figure | None:
    """Draw a row per training and a column per kind of conflicts; None where nothing was recorded.

    Args:
        found: records of all networks.
        title: stands above the figure.
    """
    layers = cue_layers(found.layers)
    if layers.is_empty():
        return None
    kinds = layers.select("kind", "width").unique(maintain_order=True).rows()
    trainings = layers["training"].unique(maintain_order=True).to_list()
    most = max(layers.filter(training=training)["layer"].n_unique() for training in trainings)
    width, height = max(8.0, 0.8 + len(kinds) * (0.6 + 0.34 * most)), 0.85 + 2.1 * len(trainings)
    figure = new_figure(title, width, height)
    grid = figure.subplots(len(trainings), len(kinds), squeeze=False, sharey=True)
    figure.subplots_adjust(
        left=0.75 / width, right=0.99, top=1 - 0.75 / height, bottom=0.65 / height, hspace=0.7, wspace=0.08
    )
    for row, training in zip(grid, trainings, strict=True):
        for axes, (kind, blur) in zip(row, kinds, strict=True):
            own = layers.filter(pl.col("width").eq_missing(pl.lit(blur, pl.Float64)), kind=kind, training=training)
            axes.set_title(
                plain(f"{training_label(training).capitalize()}, {kind_title(kind, blur)}"),
                loc="left", fontweight="bold",
            )  # fmt: skip
            _curves(axes, own)
        row[0].set_ylabel("information (bits)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", ncol=5, bbox_to_anchor=(0.99, 1 - 0.3 / height))
    return figure


def _curves(axes: Axes, own: pl.DataFrame) -> None:
    axes.axhline(0, color="#555555", linewidth=0.7, linestyle=(0, (5, 3)))
    names = own.select("layer_index", "layer").unique().sort("layer_index")["layer"].to_list()
    axes.set_xticks(range(len(names)), [plain(name) for name in short_layers(names, SHORT)], rotation=30, ha="right")
    labels = own.unique("layer_index").sort("layer_index")
    axes.plot(_BITS * labels["label_nats"].to_numpy(), color=NULL_COLOUR, label="label, no conflict")
    for estimator, line, marker, said in _LINES:
        rows = own.filter(estimator=estimator).sort("layer_index")
        if rows.is_empty():
            continue
        places = [names.index(name) for name in rows["layer"]]
        for cue, colour in _CUES:
            value, low, high = (_BITS * rows[f"{cue}_{what}"].to_numpy() for what in ("nats", "low", "high"))
            error = np.stack([value - low, high - value]).clip(min=0)
            axes.errorbar(
                places, value, yerr=np.where(np.isfinite(error), error, 0), color=colour, linestyle=line,
                marker=marker, markersize=3, elinewidth=0.7, capsize=1.5, label=f"{cue}, {said}",
            )  # fmt: skip


def conflict_images_figure(own: Recorded) -> Figure | None:
    """Draw a row of images per kind of conflicts; None where none were kept."""
    files = ShapeFiles(own.run)
    seeds = files.read().answers["seed"]
    kept = files.read_pictures() if len(seeds) else None
    if kept is None:
        return None
    images, facts = kept
    most = max(len(rows) for rows in images.values())
    width, height = max(5.0, 0.75 + _CELL * most), 0.45 + (_CELL + 0.35) * len(images)
    figure = new_figure(f"Conflicts of shape and texture ({own.name})", width, height)
    grid = figure.subplots(len(images), most, squeeze=False)
    figure.subplots_adjust(left=0.02, right=0.99, top=1 - 0.75 / height, bottom=0.05 / height, hspace=0.4, wspace=0.05)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, (kind, pixels) in zip(grid, images.items(), strict=True):
        row[0].annotate(plain(kind), (0, 1.28), xycoords="axes fraction", fontweight="bold", annotation_clip=False)
        shapes, textures = facts["classes"][kind]
        for axes, image, shape, texture in zip(row, pixels.numpy(), shapes, textures, strict=False):
            _image(axes, image, [class_label(one, own.class_names) for one in (shape, texture)])
    return figure


def _image(axes: Axes, image: np.ndarray, names: Sequence[str]) -> None:
    shown = image[0] if len(image) == 1 else image.transpose(1, 2, 0)
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.annotate(
        plain(" / ".join(names)), (0.5, 1.04), xycoords="axes fraction", ha="center", fontsize=6, annotation_clip=False
    )
