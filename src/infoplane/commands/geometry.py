"""Command `infoplane geometry`: study three, sweeps over the geometry of clouds of points."""

from pathlib import Path

from infoplane.commands.common import Options, open_console
from infoplane.config import GeometryConfig


class GeometryOptions(GeometryConfig, Options):
    """Study three: how the estimates change with the spread, classes, number and dimension of points."""

    output: Path = Path("runs/geometry")
    """Folder of the records and figures."""


def geometry(options: GeometryOptions) -> int:
    """Measure the sweeps, draw them, and print which estimates rise along each."""
    from infoplane.commands.console import progress_for
    from infoplane.commands.sweep_folder import sweep_folder
    from infoplane.report.figure import paths_of
    from infoplane.report.figures_in_order import SWEEP_FIGURES
    from infoplane.report.style import figure_style
    from infoplane.report.sweep_curves import Sweeps
    from infoplane.report.sweep_tables import trend_table
    from infoplane.studies.sweeps.geometry import STUDY, geometry_sweeps
    from infoplane.studies.sweeps.trends import trends

    console, folder = open_console(), options.output
    config = GeometryConfig(**options.model_dump(exclude={"output"}))
    with sweep_folder(folder, STUDY, config) as kept, progress_for(console, quiet=False) as progress:
        records = geometry_sweeps(config, progress=progress)
        kept.write_table(folder / "records.parquet", records.measurements)
        kept.write_table(folder / "clouds.parquet", records.clouds)
        progress.doing("drawing figures")
        with figure_style():
            for spec in SWEEP_FIGURES:
                drawn = spec.write(Sweeps(records.measurements, records.clouds), folder / "figures")
                kept.list_files(paths_of(drawn))
    console.print(trend_table(trends(records.measurements)))
    console.print(f"records: {folder / 'records.parquet'}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"figures: {folder / 'figures'}", highlight=False, markup=False, soft_wrap=True)
    return 0
