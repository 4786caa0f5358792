"""Terminal tables of `infoplane shape`: shape bias, and decoded information about both cues."""

import math
from typing import Any

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infoplane.findings.shape_bias import bias_of, shape_bias
from infoplane.findings.shape_claim import RULE, shape_sentences
from infoplane.findings.shape_layers import cue_layers
from infoplane.findings.where_shares import Share
from infoplane.measuring.exchanged import kind_title
from infoplane.records.shape import UNTRAINED
from infoplane.records.tables import DECODED, DECODED_TRANSFER
from infoplane.report.labels import training_label
from infoplane.runs.shape_files import CueRecords
from infoplane.text import percent

ESTIMATORS = {DECODED_TRANSFER: "trained on clean", DECODED: "refitted"}  # heads of columns
_BITS = 1 / math.log(2)
BIAS_HEADS = ("training", "conflicts", "n", "shape or texture", "shape bias", "permuted pairs")


def shape_tables(found: CueRecords) -> Group:
    """Render everything, for `rich.console.Console.print`.

    Args:
        found: records of all networks.
    """
    parts: list[RenderableType] = [_bias_table(found.answers)]
    layers = cue_layers(found.layers)
    for kind, width, training in layers.select("kind", "width", "training").unique(maintain_order=True).rows():
        own = layers.filter(pl.col("width").eq_missing(pl.lit(width, pl.Float64)), kind=kind, training=training)
        parts.append(_layer_table(own, f"{training_label(training).capitalize()}, {kind_title(kind, width)}"))
    parts += [Text(f"\n{RULE}")]
    parts += [Text(f"- {sentence}") for sentence in shape_sentences(found.answers, found.layers)]
    return Group(*parts)


def bias_cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return the cells of a row of `findings.shape_bias.shape_bias`, in the order of `BIAS_HEADS`."""
    name = "initial weights" if row["training"] == UNTRAINED else row["training"]
    bias = bias_of(row)
    answered = Share(row["answered_share"], row["answered_low"], row["answered_high"])
    permuted = Share(row["permuted_bias"], row["permuted_low"], row["permuted_high"])
    return (
        name,
        kind_title(row["kind"], row["width"]),
        f"{row['n']:,}",
        percent(*answered),
        "-" if bias is None else percent(*bias),
        "-" if row["permuted_bias"] is None else percent(*permuted),
    )


def cue_cells(rows: pl.DataFrame, estimator: str, layer: str) -> tuple[str, str, str]:
    """Return shape, texture and their difference in bits at a layer, with intervals; "-" where not measured.

    Args:
        rows: columns of `findings.shape_layers.LAYERS_SCHEMA`, of one training and kind.
        estimator: "decoded" or "decoded-transfer".
        layer: name of the layer.
    """
    own = rows.filter(estimator=estimator, layer=layer).to_dicts()
    if not own:
        return "-", "-", "-"
    shape, texture, difference = (
        " ".join([sign.format(_BITS * own[0][f"{name}_nats"]), _ends(own[0], name, sign)])
        for name, sign in (("shape", "{:.2f}"), ("texture", "{:.2f}"), ("difference", "{:+.2f}"))
    )
    return shape, texture, difference


def _ends(row: dict[str, Any], name: str, sign: str) -> str:
    return f"({sign.format(_BITS * row[f'{name}_low'])} to {sign.format(_BITS * row[f'{name}_high'])})"


def null_cell(rows: pl.DataFrame, estimator: str, layer: str) -> str:
    """Return what permuted classes give at most, over both cues, in bits; "-" where not measured."""
    own = rows.filter(estimator=estimator, layer=layer)
    values = [value for name in ("shape", "texture") for value in own[f"{name}_null_nats"].drop_nulls()]
    return f"{_BITS * max(values):.2f}" if values else "-"


def label_cell(rows: pl.DataFrame, layer: str) -> str:
    """Return the decoded information about the label of images without a conflict, in bits; "-" if not measured."""
    values = rows.filter(layer=layer)["label_nats"].drop_nulls()
    return f"{_BITS * values[0]:.2f}" if len(values) else "-"


def _bias_table(answers: pl.DataFrame) -> Table:
    table = Table(
        title=Text("\nAnswers to conflicts of shape and texture (95 % intervals)"),
        title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
    )  # fmt: skip
    for number, head in enumerate(BIAS_HEADS):
        table.add_column(head, justify="left" if number < 2 else "right")
    for row in shape_bias(answers).iter_rows(named=True):
        table.add_row(*map(Text, bias_cells(row)))
    return table


def _layer_table(rows: pl.DataFrame, title: str) -> Table:
    """Render a layer per line; the page has the intervals of all numbers."""
    table = Table(
        title=Text(f"\n{title}: decoded information about both cues, bits"),
        title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
    )  # fmt: skip
    table.add_column("layer")
    table.add_column("label, no\nconflict", justify="right")
    for head in (f"{ESTIMATORS[DECODED_TRANSFER]}\nshape", "\ntexture", "\nshape - texture", "\nnull"):
        table.add_column(head, justify="right")
    for head in (f"{ESTIMATORS[DECODED]}\nshape", "\ntexture", "\nnull"):
        table.add_column(head, justify="right")
    for layer in rows["layer"].unique(maintain_order=True):
        shape, texture, difference = cue_cells(rows, DECODED_TRANSFER, layer)
        again = cue_cells(rows, DECODED, layer)
        singles = [cell.partition(" ")[0] for cell in (shape, texture, *again[:2])]
        nulls = [null_cell(rows, estimator, layer) for estimator in ESTIMATORS]
        cells = (label_cell(rows, layer), *singles[:2], difference, nulls[0], *singles[2:], nulls[1])
        table.add_row(Text(layer), *cells)
    return table
