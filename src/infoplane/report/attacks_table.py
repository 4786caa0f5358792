"""Terminal tables of `infoplane attacks`: strength and lost information of each attack, answers, transfer matrix."""

import math
from typing import Any

import polars as pl
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infoplane.findings.attack_losses import CARRIED, Losses, Place
from infoplane.report.attack_answers import RULE, answers, lost_layer
from infoplane.report.labels import training_label
from infoplane.runs.attack_files import Traces
from infoplane.text import percent

_BITS = 1 / math.log(2)


def attacks_tables(found: Traces, matrix: pl.DataFrame) -> Group:
    """Render everything, for `rich.console.Console.print`.

    Args:
        found: records of all networks.
        matrix: columns of `records.attacks.TRANSFER_SCHEMA`.
    """
    losses = Losses(found.measurements)
    parts: list[RenderableType] = [_traces(losses, found.outcomes, training) for training in losses.trainings]
    parts += [Text(f"\n{RULE}")]
    parts += [Text(f"- {answer}") for answer in answers(losses, found.outcomes)]
    if len(matrix):
        parts.append(_matrix(matrix))
    return Group(*parts)


def _traces(losses: Losses, outcomes: pl.DataFrame, training: str) -> Table:
    own = outcomes.filter(pl.col("training") == training)
    seeds, n = own["seed"].n_unique(), int(own["n"][0])
    title = (
        f"{training_label(training).capitalize()}, {n} examples" + (f", mean of {seeds} seeds" if seeds > 1 else "")
        + ": I(T;Y) in bits by decoders of originals; lost at: where the label is lost"
    )  # fmt: skip
    table = _table(title)
    layers = losses.layers(training)
    table.add_column("attack")
    for name in ("accuracy", "L2", "Linf", *(layer for _, layer in layers)):
        table.add_column(Text(name), justify="right")
    table.add_column("lost at")
    first = next(iter(losses.attacks(training)), None)
    if first is not None:
        cells = [_value(losses, Place(training, first, layer, CARRIED), 0) for layer in layers]
        table.add_row("none", f"{100 * _mean(own, 'original_accuracy'):.1f} %", "", "", *cells, "")
    for examples in losses.attacks(training):
        rows = own.filter(pl.col("examples") == examples)
        cells = [_value(losses, Place(training, examples, layer, CARRIED), 1) for layer in layers]
        norms = [_norm(rows, name) for name in ("median_l2", "median_linf")]
        accuracy = f"{100 * _mean(rows, 'accuracy'):.1f} %"
        name = rows["attack"][0] if len(rows) else examples
        table.add_row(Text(name), accuracy, *norms, *cells, lost_layer(losses, training, examples))
    return table


def _value(losses: Losses, place: Place, which: int) -> str:
    value = losses.values.get(place)
    return "-" if value is None else f"{_BITS * value[which]:.2f}"


def _mean(rows: pl.DataFrame, column: str) -> float:
    return float(rows[column].to_numpy().mean()) if len(rows) else math.nan


def _norm(rows: pl.DataFrame, column: str) -> str:
    known = rows[column].drop_nulls()
    return f"{known.to_numpy().mean():.3g}" if len(known) else "-"


def _matrix(matrix: pl.DataFrame) -> Table:
    names = list(dict.fromkeys(matrix["source"]))
    attack = matrix["attack"][0]
    table = _table(
        f"{attack} examples made on one network (rows) and tested on another (columns): accuracy (95 % interval)"
    )
    table.add_column("examples of")
    for name in names:
        table.add_column(Text(name), justify="right")
    cells = {(row["source"], row["target"]): _cell(row) for row in matrix.to_dicts()}
    for source in names:
        table.add_row(Text(source), *(cells[source, target] for target in names))
    return table


def _cell(row: dict[str, Any]) -> str:
    return percent(row["accuracy"], row["accuracy_low"], row["accuracy_high"])


def _table(title: str) -> Table:
    return Table(
        title=Text(f"\n{title}"), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
    )  # fmt: skip
