"""What `infoplane compression` and `infoplane quantised` share: options, and a study from its settings to its lines."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from infoplane.commands.common import Options, open_console, says_how_to_continue

if TYPE_CHECKING:
    import polars as pl

    from infoplane.config import CompressionConfig, QuantisedConfig
    from infoplane.findings.compression import Judged
    from infoplane.report.compression_figure import Compression
    from infoplane.report.figure import FigureSpec


class TwelveBitOptions(Options):
    """Options of a study on the 12-bit task, besides its settings; a command gives `output` its default."""

    output: Path
    """Folder of the records and figures; networks that are there are not trained again."""
    jobs: int | None = Field(None, ge=1)
    """Number of processes with one thread each, by default one per core; the results do not depend on it."""


def run_study(
    options: TwelveBitOptions,
    config: "CompressionConfig | QuantisedConfig",
    study: str,
    judge: "Callable[[pl.DataFrame], list[Judged]]",
    figure: "FigureSpec[Compression]",
) -> int:
    """Train and measure the networks, draw them, and print falls and verdicts."""
    from infoplane.commands.console import progress_for
    from infoplane.findings.compression import falls
    from infoplane.report.compression_files import show_study
    from infoplane.runs.environment import describe_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.studies.compression.study import compression_study

    console, folder = open_console(), RunFolder(options.output, option="--output")
    with (
        says_how_to_continue("finished networks are kept"),
        folder.locked(),
        progress_for(console, quiet=False) as progress,
    ):
        folder.begin(study, config.model_dump(mode="json"), describe_environment("cpu"), may_grow=("seeds",))
        records = compression_study(config, folder, jobs=options.jobs, progress=progress)
        found = falls(records.measurements, records.accuracies)
        judged = judge(found)
        progress.doing("drawing the figure")
        lines = show_study(folder, records.measurements, records.accuracies, found, judged, figure)
    for line in lines:
        console.print(line, highlight=False, soft_wrap=isinstance(line, str), markup=False)
    return 0
