"""Write the tables and the figure of a compression study, and return what the terminal shows."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.console import RenderableType

from infoplane.findings.compression import Judged
from infoplane.report.compression_figure import Compression
from infoplane.report.compression_table import accuracies_text, added_seeds_text, falls_tables, verdicts_table
from infoplane.report.figure import FigureSpec, paths_of
from infoplane.report.style import figure_style
from infoplane.runs.folder import RunFolder
from infoplane.runs.parquet import ACCURACIES

_JUDGED_FIRST = "seeds_of_first_verdicts"  # in the environment of `config.json`


def show_study(
    folder: RunFolder,
    measurements: pl.DataFrame,
    accuracies: pl.DataFrame,
    found: pl.DataFrame,
    judged: Sequence[Judged],
    figure: FigureSpec[Compression],
) -> list[RenderableType]:
    """Write `records.parquet`, `accuracies.parquet`, `falls.parquet`, `verdicts.parquet` and the figure.

    The number of seeds at the first verdicts is kept in `config.json`. Later verdicts with more seeds are marked, in
    the terminal and in `verdicts.parquet`.

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
    seeds = accuracies["seed"].unique().sort().to_list()
    judged_first = _seeds_judged_first(folder, len(seeds))
    verdicts = pl.DataFrame([one._asdict() for one in judged], infer_schema_length=None).with_columns(
        seeds_added_after_first_verdicts=pl.lit(max(len(seeds) - judged_first, 0))
    )
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
        *filter(None, [added_seeds_text(seeds, judged_first)]),
        accuracies_text(accuracies),
        f"records: {place / 'records.parquet'}",
        f"figures: {place / 'figures'}",
    ]


def _seeds_judged_first(folder: RunFolder, seeds: int) -> int:
    """Return the number of seeds at the first verdicts, and keep it if these are the first."""
    kept = folder.read_config()["environment"].get(_JUDGED_FIRST)
    if kept is not None:
        return int(kept)
    earlier = Path(folder) / "accuracies.parquet"  # of verdicts that were written before the number was kept
    if earlier.is_file():
        seeds = folder.read_table(earlier, ACCURACIES)["seed"].n_unique()
    folder.keep(**{_JUDGED_FIRST: seeds})
    return seeds
