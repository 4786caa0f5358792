"""Command `infoplane report`: make figures, report and findings of a run again."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from infoplane.commands.common import Options, open_console


class ReportOptions(Options):
    """Draw the figures and the report of a run again, and print whether the study's claims hold in it."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""
    output: Path | None = None
    """Write figures, findings and report to this folder; the folder of the run may then be read-only."""
    style: Literal["infoplane", "study"] = "infoplane"
    """study: also draw the study's Figures 4 to 7 in its layout and with its estimators, beside ours."""
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print the findings as JSON, in nats, instead of a table in bits."""


def report(options: ReportOptions) -> int:
    """Make figures and report of a run from its records, and print its findings."""
    from infoplane.report.findings_table import findings_json, findings_table
    from infoplane.report.html import run_findings, write_report
    from infoplane.runs.folder import RunFolder
    from infoplane.runs.own_loop import is_own_loop

    run = RunFolder(options.run)
    found = run_findings(run)
    paths = [write_report(run, found, options.output)]
    if options.style == "study":
        from infoplane.report.study_export import write_study_style

        paths.append(write_study_style(run, options.output))
    if options.json_output:
        print(findings_json(found), end="")
        return 0
    if not is_own_loop(run.read_config()):  # whose claims are not about such a run
        open_console().print(findings_table(found))
    for path in paths:
        print(path)
    return 0
