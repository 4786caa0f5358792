"""Figure of training images beside test images: what a layer encodes of images that the network was fitted to."""

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    LABEL_INFORMATION,
    NOISY,
    TEST,
    TRAIN,
)
from infoplane.report.bits import examples_of, layers_of, noisy_name
from infoplane.report.examples import examples_look
from infoplane.report.figure import FigureSpec
from infoplane.report.labels import NOISY_RELATIVE, estimator_label, examples_label
from infoplane.report.recorded import Recorded
from infoplane.report.style import CEILING, COLOURS, align_epochs, epoch_axis, layer_grid, plain, say_missing

_SPLITS = ((TEST, COLOURS[0], "test images"), (TRAIN, COLOURS[5], "training images"))

SPLITS = FigureSpec[Recorded](
    kind="training-images",
    per="training",
    caption=(
        "Information in test images and in as many training images, over epochs; bands are 95 % intervals. Decoders "
        "are fitted within each set of images and applied to images of it that they were not fitted to. Where "
        "training images lie above test images, the network has fitted what does not carry over to other images. In "
        "robust overfitting the two part under attack: the value of attacked training images rises, and that of "
        "attacked test images does not, or falls. Decoders refitted on attacked images also read the perturbation, "
        "which was made with the label. Findings use test images only."
    ),
    draw=lambda own: (
        splits_figure(own.rows, own.train_rows, f"Training images beside test images, {own.where}")
        if not own.train_rows.is_empty()
        else None
    ),
)


def splits_figure(test: pl.DataFrame, train: pl.DataFrame, title: str) -> Figure | None:
    """Draw one training of one seed: a column per layer, a row per estimator, a colour per split.

    Args:
        test: of test images, as `bits.in_bits` returns them.
        train: the same of training images.
        title: stands above the figure.

    Returns:
        The figure, or None if none of its estimators was used.
    """
    rows = pl.concat([test, train]).filter(pl.col("class_index").is_null())
    panels = [
        (estimator, quantity)
        for estimator, quantity in (
            (DECODED, LABEL_INFORMATION),
            (DECODED_TRANSFER, LABEL_INFORMATION),
            (NOISY_RELATIVE if noisy_name(rows) == NOISY_RELATIVE else NOISY, INPUT_INFORMATION),
        )
        if not rows.filter(pl.col("estimator") == estimator, pl.col("quantity") == quantity).is_empty()
    ]
    if not panels:
        return None
    layers, kinds = layers_of(rows), examples_of(rows)
    handles = [
        *(Line2D([], [], color=colour, label=label) for _, colour, label in _SPLITS),
        *(
            Line2D([], [], color="#333333", linestyle=examples_look(rank).line, label=plain(examples_label(kind)))
            for rank, kind in enumerate(kinds)
        ),
        Line2D([], [], label="ceiling", **CEILING),
    ]
    figure, axes = layer_grid(title, layers, len(panels), 1.6, handles)
    for row, (estimator, quantity) in enumerate(panels):
        chosen = rows.filter(pl.col("estimator") == estimator, pl.col("quantity") == quantity)
        for column, (index, _) in enumerate(layers):
            _draw(axes[row, column], chosen.filter(pl.col("layer_index") == index), kinds)
        name = estimator_label(estimator, quantity).replace(", ", ",\n").replace(" (", "\n(")
        axes[row, 0].set_ylabel(f"{quantity}, bits\n{name}")
    align_epochs(axes)
    return figure


def _draw(axes: Axes, rows: pl.DataFrame, kinds: list[str]) -> None:
    if rows.is_empty():
        say_missing(axes, "not measured")
        return
    for split, colour, _ in _SPLITS:
        for rank, kind in enumerate(kinds):
            own = rows.filter(pl.col("split") == split, pl.col("examples") == kind).sort("epoch")
            if own.is_empty():
                continue
            low, high = own["low_bits"].fill_null(own["value_bits"]), own["high_bits"].fill_null(own["value_bits"])
            axes.fill_between(own["epoch"], low, high, color=colour, alpha=0.15, linewidth=0)
            look = examples_look(rank)
            axes.plot(
                own["epoch"], own["value_bits"], color=colour, linestyle=look.line, linewidth=1.0,
                marker=look.marker if len(own) <= 2 else None, markersize=3, label=f"{split}/{kind}",
            )  # fmt: skip
    if (ceiling := rows["ceiling_bits"].max()) is not None:
        axes.axhline(ceiling, **CEILING)  # type: ignore[arg-type]
    epoch_axis(axes, rows["epoch"])
