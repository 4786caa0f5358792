"""Command `infoplane limits`: study three, estimates as the noise vanishes."""

from pathlib import Path

from infoplane.commands.common import Options, open_console
from infoplane.config import LimitsConfig


class LimitsOptions(LimitsConfig, Options):
    """Study three: why I(X;T) needs noise, shown on a discrete and a continuous layer as the noise vanishes."""

    output: Path = Path("runs/limits")
    """Folder of the records and figures."""


def limits(options: LimitsOptions) -> int:
    """Measure both layers at every width of the noise, draw them, and print the estimates at three widths."""
    from infoplane.commands.console import progress_for
    from infoplane.commands.sweep_folder import sweep_folder
    from infoplane.report.figure import paths_of
    from infoplane.report.limits_figure import LIMITS
    from infoplane.report.style import figure_style
    from infoplane.report.sweep_tables import limits_table
    from infoplane.studies.sweeps.limits import STUDY, noise_limits

    console, folder = open_console(), options.output
    config = LimitsConfig(**options.model_dump(exclude={"output"}))
    with sweep_folder(folder, STUDY, config) as kept, progress_for(console, quiet=False) as progress:
        measurements = noise_limits(config, progress=progress)
        kept.write_table(folder / "records.parquet", measurements)
        progress.doing("drawing the figure")
        with figure_style():
            kept.list_files(paths_of(LIMITS.write(measurements, folder / "figures")))
    console.print(limits_table(measurements))
    console.print(f"records: {folder / 'records.parquet'}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"figures: {folder / 'figures'}", highlight=False, markup=False, soft_wrap=True)
    return 0
