"""Draw the figures of a run into its folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from infoplane.distributed.side_processes import SideProcesses, Tell
from infoplane.report.figure import DrawnFigure
from infoplane.report.figure_formats import Format
from infoplane.report.figures_in_order import FIGURES
from infoplane.report.recorded import Recorded, recorded_of
from infoplane.report.style import figure_style
from infoplane.runs.folder import RunFolder


def write_figures(
    run: RunFolder,
    output: Path | None = None,
    formats: Sequence[Format] = ("svg",),
    *,
    processes: SideProcesses | None = None,
) -> list[DrawnFigure]:
    """Draw all `FIGURES` for which the run has records; figures of an unfinished run say what is missing.

    Args:
        run: folder of the run.
        output: figures are written to `output/figures`; None is the run's folder.
        formats: which files to write. The page needs SVG; PNG and PDF take twice and three times as long.
        processes: draw the figures side by side; None: this process draws them.

    Returns:
        The figures: those of each training, then those of all seeds together, then those of each seed and of its
        distortions. Figures that say nothing are among them, with the reason instead of files.

    Raises:
        UserError: the folder holds no run, or damaged records.
    """
    recorded, folder = recorded_of(run), (output or run.path) / "figures"
    parts = list(recorded.parts())
    if processes is None:
        return [figure for part in parts for figure in _figures_of(part, folder, formats)]
    drawn = dict[int, list[DrawnFigure]]()

    def heard(said: object) -> None:
        assert isinstance(said, tuple)
        part, figures = said
        drawn[part] = [DrawnFigure(FIGURES[place], *rest) for place, *rest in figures]

    processes.carry_out([partial(_draw, run.path, number, folder, formats) for number in range(len(parts))], heard)
    return [figure for number in range(len(parts)) for figure in drawn[number]]


def _draw(run: Path, number: int, folder: Path, formats: Sequence[Format], tell: Tell) -> None:
    """Draw the figures of one part of a run's records; tell its number, and each figure with its place for its spec."""
    part = list(recorded_of(RunFolder(run)).parts())[number]
    tell((number, [(FIGURES.index(spec), *rest) for spec, *rest in _figures_of(part, folder, formats)]))


def _figures_of(part: Recorded, folder: Path, formats: Sequence[Format]) -> list[DrawnFigure]:
    with figure_style():
        return [
            figure
            for spec in FIGURES
            if spec.per == part.per
            for figure in spec.write(part, folder, part.about, part.label, formats)
        ]
