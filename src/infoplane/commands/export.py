"""Command `infoplane export`: tables and figures of a run for a paper or another program."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from infoplane.commands.common import Options
from infoplane.errors import UserError


class ExportOptions(Options):
    """Write the tables and figures of a run as files for a paper or another program."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    latex: bool = False
    """Write LaTeX tables (booktabs, graphicx): accuracy, information of the layers, claims. Each cell has its 95 %
    interval, and each row the hash of the run."""
    csv: bool = False
    """Write all records and findings as CSV, information in nats."""
    parquet: bool = False
    """Write all records and findings as Parquet, information in nats."""
    figures: Annotated[tuple[Literal["svg", "pdf", "png"], ...], tyro.conf.arg(metavar="[svg|pdf|png ...]")] = ()
    """Draw all figures in these formats."""
    output: Path | None = None
    """Write the files to this folder; by default to the folder export of the run."""


def export(options: ExportOptions) -> int:
    """Write what is asked for, and print the path of each file."""
    if not (options.latex or options.csv or options.parquet or options.figures):
        raise UserError("say what to export: --latex, --csv, --parquet or --figures svg pdf png")
    from infoplane.report.export import export_run
    from infoplane.runs.folder import RunFolder

    run = RunFolder(options.run)
    wanted = options.model_dump(include={"latex", "csv", "parquet", "figures"})
    paths = export_run(run, options.output, **wanted)
    for path in paths:
        print(path)
    return 0
