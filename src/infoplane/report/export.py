"""Export of a run for papers and other programs: LaTeX tables, flat tables and figures."""

import io
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from infoplane.findings import Findings
from infoplane.records.tables import flat
from infoplane.report.figure import paths_of
from infoplane.report.figure_files import write_figures
from infoplane.report.figure_formats import Format
from infoplane.report.html import judges_claims, run_findings
from infoplane.report.latex_tables import About, latex_tables
from infoplane.report.output_folder import check_is_in_no_run
from infoplane.report.subject import subject_of
from infoplane.runs.folder import RunFolder
from infoplane.runs.records_hash import records_hash
from infoplane.runs.whole_files import write_whole

FOLDER = "export"  # in that of the run


def export_run(
    run: RunFolder,
    output: Path | None = None,
    *,
    latex: bool = False,
    csv: bool = False,
    parquet: bool = False,
    figures: Sequence[Format] = (),
) -> list[Path]:
    """Write what is asked for and return the paths of the files.

    Args:
        run: folder of the run.
        output: folder of the files; None is the folder "export" of the run, which its manifest then lists.
        latex: accuracy, information and claims as LaTeX tables; no claims on the user's own data.
        csv: records and findings (likewise), a file each, one number or word per cell.
        parquet: likewise.
        figures: formats of the figures.

    Raises:
        UserError: the folder holds no run, or damaged records, or `output` is a run or in one.
    """
    if output is not None:
        check_is_in_no_run(output)
    found = run_findings(run)
    folder = output or run.path / FOLDER
    config, measurements, performance = run.read_config(), run.measurements(), run.performance()
    judged = judges_claims(config)
    written = []

    def write(name: str, content: bytes) -> None:
        write_whole(folder / name, content)
        written.append(folder / name)

    if latex:
        name = subject_of(config, run.path.name).title
        about = About(name, records_hash(run), str(config["environment"].get("infoplane", "")))
        for table, content in latex_tables(measurements, performance, found if judged else None, about):
            write(f"{table}.tex", content.encode())
    flat_tables = {
        "measurements": flat(measurements),
        "performance": flat(performance),
        "geometry": flat(run.geometry()),
    } | ({"findings": findings_frame(found)} if judged else {})
    for table, frame in flat_tables.items() if csv else ():
        write(f"{table}.csv", frame.write_csv().encode())
    for table, frame in flat_tables.items() if parquet else ():
        buffer = io.BytesIO()
        frame.write_parquet(buffer)
        write(f"{table}.parquet", buffer.getvalue())
    if figures:
        written += paths_of(write_figures(run, folder, figures))
    if output is None:
        run.list_files(written)
    return written


def findings_frame(found: Findings) -> pl.DataFrame:
    """Return the findings as a table, information in nats; the numbers that each rests on are left out."""
    rows = [{name: value for name, value in vars(one).items() if name != "numbers"} for one in found.findings]
    numbers = dict.fromkeys(("value", "low", "high"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides=numbers, strict=False, infer_schema_length=None)
