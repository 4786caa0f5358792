"""Command `infoplane calibrate`: test the estimators on data with known information."""

import os
import time
from pathlib import Path
from typing import Annotated

import tyro
from pydantic import Field

from infoplane.commands.common import Options, open_console, says_how_to_continue, typed_command
from infoplane.errors import UserError


class CalibrateOptions(Options):
    """Test every estimator on distributions whose information is known."""

    output: Path = Path("runs/calibration")
    """Folder for the table and its cells; cells that are there are not computed again."""
    quick: bool = False
    """Use a few tasks, few samples and few replicates: under two minutes on two cores."""
    jobs: int | None = Field(None, ge=1)
    """Number of processes with one thread each, by default one per core; the results do not depend on it."""
    seed: int = Field(0, ge=0)
    """Seed of the random draws of tasks and estimators."""
    estimators: Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="(default: all)")] = ()
    """Run these estimators only, e.g. kde noisy binning decoded."""
    tasks: Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="(default: all)")] = ()
    """Run these tasks only."""
    document: Annotated[Path | None, tyro.conf.arg(metavar="FILE.md")] = None
    """File to which the table is also written."""


def calibrate(options: CalibrateOptions) -> int:
    """Print and save the table of estimates and true values."""
    from infoplane.calibration.cells import CalibrationConfig, environment
    from infoplane.calibration.table import calibration
    from infoplane.commands.console import progress_for
    from infoplane.report.calibration import calibration_page, calibration_table
    from infoplane.runs.folder import CALIBRATION, RunFolder
    from infoplane.runs.whole_files import write_whole

    console = open_console()
    config = CalibrationConfig(**options.model_dump(include={"seed", "quick", "estimators", "tasks"}))
    folder = RunFolder(options.output, option="--output")
    if options.document is not None and options.document.is_dir():
        raise UserError(f"{options.document} is a folder; name a file with --document")
    with (
        says_how_to_continue("finished cells are kept"),
        folder.locked(),
        progress_for(console, quiet=False) as progress,
    ):
        folder.check_holds_no_other(CALIBRATION)
        cells = calibration(config, options.output, jobs=options.jobs, progress=progress)
    notice = (
        "Quick: few tasks, samples and replicates. Trust the whole table (without --quick)." if options.quick else ""
    )
    facts = {
        "command": typed_command(),
        "date": time.strftime("%Y-%m-%d"),
        **environment(),
        "processes": f"{options.jobs or os.cpu_count()}, of one thread each",
    }
    page = calibration_page(cells, facts, notice)
    folder.write_table(options.output / "cells.parquet", cells)
    folder.write_file(options.output / "calibration.md", page.encode())
    if options.document is not None:
        write_whole(options.document, page.encode())
    console.print(calibration_table(cells, notice))
    console.print(f"table: {options.output / 'calibration.md'}", highlight=False, markup=False, soft_wrap=True)
    return 0
