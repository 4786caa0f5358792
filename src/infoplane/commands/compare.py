"""Command `infoplane compare`: one page about several runs and how they differ."""

from pathlib import Path
from typing import Annotated

import tyro

from infoplane.commands.common import Options, open_console


class CompareOptions(Options):
    """Compare several runs with the first: settings, accuracies, planes, and paired differences of every layer."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of the runs; every other one is compared with the first. A sweep stands for its combinations of recipe
    and settings, each with all its methods and seeds."""
    output: Path = Path("runs/comparison")
    """Folder of comparison.html and comparison.json."""
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print all numbers as JSON, in nats, and write no page."""


def compare(options: CompareOptions) -> int:
    """Compare runs, write the page, and print what it says in short."""
    from infoplane.report.compare_files import comparison_json, write_comparison
    from infoplane.report.compare_page import summary_lines
    from infoplane.report.compare_source import ComparedRuns
    from infoplane.sweeping.folder import SweepFolder
    from infoplane.sweeping.together import runs_together

    sweeps = [SweepFolder(path) for path in options.runs]
    compared = ComparedRuns([run for one in sweeps for run in (runs_together(one) if one.exists() else [one.path])])
    if options.json_output:
        print(comparison_json(compared), end="")
        return 0
    page = write_comparison(compared, options.output)
    console = open_console()
    for line in (*(f"note: {note}" for note in compared.comparison.notes), *summary_lines(compared)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(str(page), highlight=False, markup=False, soft_wrap=True)
    return 0
