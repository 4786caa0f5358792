"""Write the tables and the figure of a compression study, and return what the terminal shows."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.console import RenderableType

from infoplane.findings.compression import Judged
from infoplane.report.compression_figure import Compression
from infoplane.report.compression_table import accuracies_text, falls_tables, verdicts_table
from infoplane.report.figure import FigureSpec, paths_of
from infoplane.report.style import figure_style
from infoplane.runs.folder import RunFolder


def show_study(
    folder: RunFolder,
    measurements: pl.DataFrame,
    accuracies: pl.DataFrame,
    found: pl.DataFrame,
    judged: Sequence[Judged],
    figure: FigureSpec[Compression],
) -> list[RenderableType]:
    """Write `records.parquet`, `accuracies.parquet`, `falls.parquet`, `verdicts.parquet` and the figure.

    Args:
        folder: of the study, locked.
        measurements: columns of `compression.COMPRESSION_SCHEMA`.
        accuracies: columns of `compression.ACCURACY_SCHEMA`.
        found: as `findings.compression.falls` returns it.
        judged: statements with their verdicts.
        figure: of the study.

    Returns:
        Tables and lines for the terminal.
    """
    place = Path(folder)
    verdicts = pl.DataFrame([one._asdict() for one in judged], infer_schema_length=None)
    for name, table in (
        ("accuracies", accuracies),
        ("falls", found),
        ("verdicts", verdicts),
        ("records", measurements),
    ):
        folder.write_table(place / f"{name}.parquet", table)
    with figure_style():
        folder.list_files(paths_of(figure.write(Compression(measurements, accuracies), place / "figures")))
    return [
        falls_tables(found),
        verdicts_table(judged),
        accuracies_text(accuracies),
        f"records: {place / 'records.parquet'}",
        f"figures: {place / 'figures'}",
    ]
