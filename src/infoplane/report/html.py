"""HTML report: one page that works offline, with tables, interactive charts and all figures."""

import errno
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import polars as pl

from infoplane.distributed.side_processes import SideProcesses
from infoplane.errors import UserError
from infoplane.findings import Findings, find, plan_of
from infoplane.recipes import is_own_data
from infoplane.records.evaluation import EVALUATION
from infoplane.records.tables import TRAIN
from infoplane.report.bits import in_bits
from infoplane.report.chart_library import chart_library
from infoplane.report.evaluated import evaluation_of
from infoplane.report.figure import DrawnFigure, paths_of
from infoplane.report.figure_files import write_figures
from infoplane.report.figures_in_order import SWEEP_FIGURES
from infoplane.report.findings_table import findings_json
from infoplane.report.output_folder import check_is_in_no_run
from infoplane.report.page_data import page_data
from infoplane.report.page_first import first_screen
from infoplane.report.page_resources import resource
from infoplane.report.page_section import PageSource
from infoplane.report.page_shell import shell_html
from infoplane.report.sections_in_order import SECTIONS
from infoplane.report.summary import at_chance_lines, missing_parts
from infoplane.runs.folder import CALIBRATION, RunFolder
from infoplane.runs.parquet import SWEEPS as SWEEP_TABLE
from infoplane.runs.whole_files import write_whole
from infoplane.text import counted, decodable

SWEEPS = "sweeps"  # name of the folder of study three in that of a run
_NO_PERMISSION = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}
_NO_RUNS = ("geometry", "limits", EVALUATION, CALIBRATION)


def run_findings(run: RunFolder) -> Findings:
    """Test the study's claims on the records of a run, and on the sweeps of study three if they are in its folder.

    Raises:
        UserError: damaged records.
    """
    _check_holds_a_run(run)
    plan = plan_of(run.read_config()["settings"])
    return find(run.measurements(), run.performance(), _sweeps(run), plan=plan)


def judges_claims(config: Mapping[str, Any]) -> bool:
    """Return whether a run is judged by the claims of the study unless the user decides: not on the user's own data.

    Args:
        config: of a run: "study", "settings" and "environment".
    """
    return not is_own_data(config.get("settings") or {})


def write_report(
    run: RunFolder,
    found: Findings | None = None,
    output: Path | None = None,
    *,
    claims: bool | None = None,
    processes: SideProcesses | None = None,
) -> Path:
    """Draw the figures of `run` again and write its `findings.json` and `report.html`.

    The report of an unfinished run contains what has been recorded so far.

    Args:
        run: folder of the run.
        found: result of `run_findings`; None computes it.
        output: another folder for all files; the run's own folder is then not changed.
        claims: whether the page judges the claims of the study; None: `judges_claims`.
        processes: draw the figures side by side.

    Raises:
        UserError: the folder holds no run or damaged records, cannot be written to, or `output` is another run.
    """
    _check_holds_a_run(run)
    if output is not None:
        check_is_in_no_run(output)
    folder, config = output or run.path, run.read_config()
    path = folder / "report.html"
    measurements, performance = run.measurements(), run.performance()
    if found is None:
        found = run_findings(run)
    try:
        drawn = write_figures(run, output, processes=processes)
        swept = [spec.files(run.path / SWEEPS / "figures") for spec in SWEEP_FIGURES]
        source = PageSource(
            config=config,
            measurements=measurements,
            geometry=run.geometry(),
            performance=performance,
            findings=found,
            figures=drawn + [one for one in swept if one.svg.is_file()],
            run=run,
            folder=folder,
            evaluation=evaluation_of(run),
            claims=judges_claims(config) if claims is None else claims,
        )
        content = page_html(source)
        write_whole(folder / "findings.json", decodable(findings_json(found)).encode())
        write_whole(path, decodable(content).encode())
        if output is None:
            run.list_files([*paths_of(drawn), folder / "findings.json", path])
    except OSError as error:
        if error.errno not in _NO_PERMISSION:
            raise
        raise UserError(
            f"{error.filename or folder} cannot be written ({error.strerror}); choose another folder for figures and "
            "report: infoplane report RUN --output FOLDER"
        ) from None
    return path


def _check_holds_a_run(run: RunFolder) -> None:
    if (study := run.study()) in _NO_RUNS:
        raise UserError(
            f"{run.path} holds the study {study!r}, which has figures and tables of its own there; "
            "infoplane report takes a folder that infoplane flow or demo made"
        )


def _sweeps(run: RunFolder) -> pl.DataFrame | None:
    """Return the sweeps of study three, if its folder is in that of the run."""
    sweeps = RunFolder(run.path / SWEEPS)
    path = sweeps.path / "records.parquet"
    if not path.is_file():
        return None
    return sweeps.read_table(path, SWEEP_TABLE, "delete it and run infoplane geometry again")


def report_html(
    config: Mapping[str, Any],
    measurements: pl.DataFrame,
    geometry: pl.DataFrame,
    performance: pl.DataFrame,
    figures: Sequence[DrawnFigure],
    *,
    folder: Path | None = None,
) -> str:
    """Return the whole page of tables that are not from a folder; see `PageSource` for the arguments."""
    found = find(measurements, performance, plan=plan_of(config.get("settings") or {}))
    source = PageSource(
        config=config,
        measurements=measurements,
        geometry=geometry,
        performance=performance,
        findings=found,
        figures=figures,
        folder=folder,
        claims=judges_claims(config),
    )
    return page_html(source)


def page_html(source: PageSource) -> str:
    """Return the whole page."""
    sections = [section for section in (make(source) for make in SECTIONS) if section is not None]
    performance, title = source.undistorted_performance, source.subject.title
    notes = _folded("at-chance", at_chance_lines(performance), "A training is at chance") + _folded(
        "missing", missing_parts(source.measurements, performance, source.settings), "This run is not complete"
    )
    return shell_html(
        title=f"{title}: information plane report",
        header=first_screen(source) + notes,
        sections=sections,
        data=page_data(source.rows, performance, in_bits(source.measurements, split=TRAIN)),
        scripts=(chart_library(), resource("page.js")),
        footer="Made by infoplane from the records in this run's folder.",
    )


def _folded(name: str, lines: Sequence[str], title: str) -> str:
    """Return the only line, or one line that opens to all of them."""
    if not lines:
        return ""
    if len(lines) == 1:
        return f'<p class="missing" id="{name}">{title}. {escape(lines[0])}</p>\n'
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    number = counted(len(lines), "note")
    return f'<details class="missing" id="{name}"><summary>{title}: {number}.</summary><ul>{items}</ul></details>\n'
