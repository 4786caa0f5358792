"""Command `infoplane report`: make figures, report and findings of a run again."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from infoplane.commands.common import Options, open_console
from infoplane.commands.output import complain
from infoplane.errors import UserError

if TYPE_CHECKING:
    from infoplane.sweeping.folder import SweepFolder


class ReportOptions(Options):
    """Draw the figures and the report of a run again, and print whether the study's claims hold in it."""

    run: tyro.conf.Positional[Path]
    """Folder of the run; or of a sweep: one page for each combination of recipe and settings, and one that compares
    them."""
    output: Path | None = None
    """Write figures, findings and report to this folder; the folder of the run may then be read-only."""
    style: Literal["infoplane", "study"] = "infoplane"
    """study: also draw the study's Figures 4 to 7 in its layout and with its estimators, beside ours."""
    claims: bool = False
    """Judge the study's claims on your own data too, where they are left out otherwise."""
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print the findings as JSON, in nats, instead of a table in bits."""


def report(options: ReportOptions) -> int:
    """Make figures and report of a run from its records, and print its findings."""
    from infoplane.report.findings_table import findings_json, findings_table
    from infoplane.report.html import judges_claims, run_findings, write_report
    from infoplane.report.registered import registered_outcomes, registered_table
    from infoplane.runs.folder import RunFolder
    from infoplane.sweeping.folder import SweepFolder

    if (sweep := SweepFolder(options.run)).exists():
        return _report_sweep(sweep, options)
    run = RunFolder(options.run)
    found = run_findings(run)
    claims = options.claims or judges_claims(run.read_config())
    paths = [write_report(run, found, options.output, claims=claims)]
    if options.style == "study":
        from infoplane.report.study_export import write_study_style

        paths.append(write_study_style(run, options.output))
    if options.json_output:
        print(findings_json(found), end="")
        return 0
    if claims:
        open_console().print(findings_table(found))
    if registered := registered_outcomes(run, run.read_config()["settings"], found):
        open_console().print(registered_table(*registered))
    for path in paths:
        print(path)
    return 0


def _report_sweep(sweep: "SweepFolder", options: ReportOptions) -> int:
    """Write a page for each combination of recipe and settings of a sweep, and one that compares them."""
    from infoplane.report.compare_files import write_comparison
    from infoplane.report.compare_source import ComparedRuns
    from infoplane.report.html import write_report
    from infoplane.runs.folder import RunFolder
    from infoplane.sweeping.together import runs_together

    if options.output is not None or options.style != "infoplane" or options.json_output:
        raise UserError(
            f"--output, --style and --json take one run; after infoplane report {sweep.path}, give one of the folders "
            f"in {sweep.path / 'together'}"
        )
    folders = runs_together(sweep)
    for folder in folders:
        print(write_report(RunFolder(folder), claims=options.claims or None))
    if len(folders) > 1:
        try:
            print(write_comparison(ComparedRuns(folders), sweep.path / "comparison"))
        except UserError as error:  # e.g. all networks are at chance; the reports are written
            complain(f"infoplane: no comparison: {error}")
    return 0
