"""Draw the figures of a run into its folder."""

from collections.abc import Sequence
from pathlib import Path

from infoplane.report.figure import DrawnFigure
from infoplane.report.figure_formats import Format
from infoplane.report.figures_in_order import FIGURES
from infoplane.report.recorded import recorded_of
from infoplane.report.style import figure_style
from infoplane.runs.folder import RunFolder


def write_figures(
    run: RunFolder, output: Path | None = None, formats: Sequence[Format] = ("svg",)
) -> list[DrawnFigure]:
    """Draw all `FIGURES` for which the run has records; figures of an unfinished run say what is missing.

    Args:
        run: folder of the run.
        output: figures are written to `output/figures`; None is the run's folder.
        formats: which files to write. The page needs SVG; PNG and PDF take twice and three times as long.

    Returns:
        The figures: those of each training, then those of all seeds together, then those of each seed and of its
        distortions. Figures that say nothing are among them, with the reason instead of files.

    Raises:
        UserError: the folder holds no run, or damaged records.
    """
    recorded, folder = recorded_of(run), (output or run.path) / "figures"
    drawn = []
    with figure_style():
        for own in recorded.parts():
            for spec in FIGURES:
                if spec.per == own.per:
                    drawn += spec.write(own, folder, own.about, own.label, formats)
    return drawn
