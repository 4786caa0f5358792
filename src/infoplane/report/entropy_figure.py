"""Figure of the entropies of layer and classes over epochs, on original and on attacked examples."""

from collections.abc import Sequence
from typing import Any

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from infoplane.records.tables import ADVERSARIAL, CLASS_ENTROPY, INPUT_INFORMATION, KDE_BD, KDE_KL, ORIGINAL
from infoplane.report.bits import examples_of, layers_of
from infoplane.report.examples import attacks_of
from infoplane.report.figure import FigureSpec, NothingToSee
from infoplane.report.labels import estimator_label
from infoplane.report.nothing_to_see import all_at_ceiling, at_ceiling, one_epoch, panel_note
from infoplane.report.recorded import Recorded
from infoplane.report.style import (
    CEILING,
    COLOURS,
    LINES,
    align_epochs,
    epoch_axis,
    layer_grid,
    plain,
    say_constant,
    say_missing,
)
from infoplane.report.subject import class_label

_OF_ENTROPIES = pl.col("estimator").is_in([KDE_KL, KDE_BD]) & pl.col("quantity").is_in(
    [INPUT_INFORMATION, CLASS_ENTROPY]
)
_CLASSES_NAMED = 20  # with more classes a legend is not readable

CLASS_ENTROPIES = FigureSpec[Recorded](
    kind="class-entropies",
    per="training",
    caption=(
        "Entropy of the noisy layer less the entropy of the noise, over all examples (black) and within each class, "
        "over epochs. Upper rows: original examples. Lower rows: attacked examples. Dashed: ceilings. The farther the "
        "black curve lies above those of the classes, the larger is I(T;Y)."
    ),
    draw=lambda own: _class_entropies(own),
)


def _class_entropies(own: Recorded) -> Figure | NothingToSee:
    rows = own.rows.filter(_OF_ENTROPIES)
    whole = rows.filter(pl.col("quantity") == INPUT_INFORMATION)
    if nothing := one_epoch(rows["epoch"]) or (all_at_ceiling(whole) if at_ceiling(rows) else None):
        return nothing
    title = f"Entropy of layer and class, less the noise, {own.where}"
    return class_entropy_figure(own.rows, title, own.class_names)


def class_entropy_figure(rows: pl.DataFrame, title: str, class_names: Sequence[str] = ()) -> Figure:
    """Draw H(T)-h(noise) and H(T|y)-h(noise) of one training: a column per layer, a row per examples and kind.

    Args:
        rows: as `bits.in_bits` returns them, of one seed and training.
        title: stands above the figure.
        class_names: for the legend; without them classes have numbers.
    """
    rows = rows.filter(_OF_ENTROPIES)
    layers = layers_of(rows) or [(0, "no layer")]
    kinds = examples_of(rows) or [ORIGINAL]
    if not attacks_of(kinds):
        kinds.append(ADVERSARIAL)  # an empty row, which says that the entropies are missing
    panels = [(examples, estimator) for examples in kinds for estimator in (KDE_KL, KDE_BD)]
    figure, axes = layer_grid(title, layers, len(panels), 1.45)
    parts = rows.partition_by("examples", "estimator", "layer_index", as_dict=True)
    for row, (examples, estimator) in enumerate(panels):
        for column, (index, _) in enumerate(layers):
            _draw_entropies(axes[row, column], parts.get((examples, estimator, index), rows.clear()), class_names)
        axes[row, 0].set_ylabel(plain(f"{examples}\n{estimator_label(estimator)}\nbits"))
    align_epochs(axes)
    handles: dict[Any, Any] = {}
    for one in axes.flat:
        handles |= {label: handle for handle, label in zip(*one.get_legend_handles_labels(), strict=True)}
    if len(handles) > _CLASSES_NAMED + 2:
        handles = {label: handle for label, handle in handles.items() if not label.startswith("class ")}
    columns = 12 if max(map(len, class_names), default=0) <= 2 else 7
    figure.legend(
        handles.values(), handles.keys(), loc="lower center", ncol=columns, handlelength=2.4, columnspacing=1.2
    )
    return figure


def _draw_entropies(axes: Axes, rows: pl.DataFrame, class_names: Sequence[str]) -> None:
    whole = rows.filter(pl.col("quantity") == INPUT_INFORMATION).sort("epoch")
    classes = rows.filter(pl.col("quantity") == CLASS_ENTROPY)
    if whole.is_empty() and classes.is_empty():
        say_missing(axes, "not measured")
        return
    epoch_axis(axes, rows["epoch"])
    if at_ceiling(rows) and (note := panel_note(whole)):
        say_constant(axes, note)
        return
    marker = "o" if rows["epoch"].n_unique() <= 2 else None
    axes.plot(
        whole["epoch"],
        whole["drawn_bits"],
        color="black",
        linewidth=1.8,
        label="all classes",
        marker=marker,
        markersize=3,
    )
    for (index,), own in sorted(classes.sort("epoch").partition_by("class_index", as_dict=True).items()):
        style: dict[str, Any] = {
            "color": COLOURS[index % len(COLOURS)],
            "linestyle": LINES[index // len(COLOURS) % len(LINES)],
        }
        label = plain(f"class {class_label(index, class_names)}")
        axes.plot(own["epoch"], own["drawn_bits"], linewidth=0.9, label=label, marker=marker, markersize=2, **style)
    for ceiling in {whole["ceiling_bits"].max(), classes["ceiling_bits"].max()} - {None}:
        axes.axhline(ceiling, **CEILING, label="ceiling")  # type: ignore[arg-type]
