"""Command `infoplane compression`: compression of tanh against ReLU, in bins and at noise."""

from pathlib import Path

from pydantic import Field

from infoplane.commands.common import Options, open_console, says_how_to_continue
from infoplane.config import CompressionConfig


class CompressionOptions(CompressionConfig, Options):
    """Tanh against ReLU on the 12-bit task: does I(X;T) fall in training, in bins and at noise?"""

    output: Path = Path("runs/compression")
    """Folder of the records and figures; networks that are there are not trained again."""
    jobs: int | None = Field(None, ge=1)
    """Number of processes with one thread each, by default one per core; the results do not depend on it."""


def compression(options: CompressionOptions) -> int:
    """Train and measure the networks, draw them, and print falls and verdicts."""
    from infoplane.commands.console import progress_for
    from infoplane.findings.compression import falls, judge_tanh_and_relu
    from infoplane.report.compression_figure import TANH_AND_RELU
    from infoplane.report.compression_files import show_study
    from infoplane.runs.environment import describe_environment
    from infoplane.runs.folder import RunFolder
    from infoplane.studies.compression.study import STUDY, compression_study

    console, folder = open_console(), RunFolder(options.output, option="--output")
    config = CompressionConfig(**options.model_dump(exclude={"output", "jobs"}))
    with (
        says_how_to_continue("finished networks are kept"),
        folder.locked(),
        progress_for(console, quiet=False) as progress,
    ):
        folder.begin(STUDY, config.model_dump(mode="json"), describe_environment("cpu"), may_grow=("seeds",))
        records = compression_study(config, folder, jobs=options.jobs, progress=progress)
        found = falls(records.measurements, records.accuracies)
        judged = judge_tanh_and_relu(found, config.bins[0])
        progress.doing("drawing the figure")
        lines = show_study(folder, records.measurements, records.accuracies, found, judged, TANH_AND_RELU)
    for line in lines:
        console.print(line, highlight=False, soft_wrap=isinstance(line, str), markup=False)
    return 0
