"""Terminal table of accuracy under distortions."""

from itertools import product
from typing import Any

import polars as pl
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from infoplane.report.bits import distortions_of, examples_of, level_label, trainings_of
from infoplane.report.labels import training_label


def distortion_table(performance: pl.DataFrame) -> Group:
    """Render accuracy at every level of every distortion, for `rich.console.Console.print`: a table per seed.

    Args:
        performance: of distorted examples, columns of `records.PERFORMANCE_SCHEMA`.
    """
    tables = []
    for seed in performance["seed"].unique().sort():
        own = performance.filter(pl.col("seed") == seed)
        tables.append(_accuracies(own, f"Accuracy under distortions, seed {seed}"))
    return Group(*tables)


def _accuracies(performance: pl.DataFrame, title: str) -> Table:
    trainings, kinds = [training for _, training in trainings_of(performance)], examples_of(performance, control=True)
    table = Table(
        title=Text(f"\n{title}"), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_edge=False,
    )  # fmt: skip
    table.add_column("distortion")
    table.add_column("level", justify="right")
    table.add_column("examples")
    for training in trainings:
        table.add_column(Text(training_label(training)), justify="right")
    found = {
        tuple(row[name] for name in ("distortion", "level", "training", "examples")): _shown(row)
        for row in performance.to_dicts()
    }
    for name, levels in distortions_of(performance).items():
        for level, kind in product(levels, kinds):
            shown = [found.get((name, level, training, kind), "-") for training in trainings]
            head = (name if level == levels[0] else "", level_label(level)) if kind == kinds[0] else ("", "")
            table.add_row(*head, Text(kind), *shown)
    return table


def _shown(row: dict[str, Any]) -> str:
    texture = row["texture_accuracy"]
    return f"{100 * row['accuracy']:.2f} %" + ("" if texture is None else f" (texture's class {100 * texture:.2f} %)")
