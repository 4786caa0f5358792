"""Figures and report of a run, drawn again."""

from pathlib import Path

import tyro

from infoplane.commands.common import Options


class ReportOptions(Options):
    """Draw the figures and the report of a run again."""

    run: tyro.conf.Positional[Path]
    """Folder of the run."""


def report(options: ReportOptions) -> int:
    """Draw figures and report of a run from its records."""
    from infoplane.report.html import write_report
    from infoplane.runs import RunFolder

    print(write_report(RunFolder(options.run)))
    return 0
