"""Draw the figures of a run as PNG and PDF into its folder."""

from pathlib import Path

from infoplane.report.figure import DrawnFigure
from infoplane.report.figures_in_order import FIGURES
from infoplane.report.pdfs import pdfs_beside
from infoplane.report.recorded import recorded_of
from infoplane.report.style import STYLE, figure_style
from infoplane.runs.folder import RunFolder


def write_figures(run: RunFolder, output: Path | None = None) -> list[DrawnFigure]:
    """Draw all `FIGURES` for which the run has records; figures of an unfinished run say what is missing.

    Args:
        run: folder of the run.
        output: figures are written to `output/figures`; None is the run's folder.

    Returns:
        The figures: those of each training, then those of all seeds together, then those of each seed and of its
        distortions.

    Raises:
        UserError: the folder holds no run, or damaged records.
    """
    recorded, folder = recorded_of(run), (output or run.path) / "figures"
    drawn = []
    with figure_style(), pdfs_beside(STYLE, beside=len(recorded.trainings) > 1) as pdfs:
        for own in recorded.parts():
            for spec in FIGURES:
                if spec.per == own.per:
                    drawn += spec.write(own, folder, own.about, own.label, pdfs)
    return drawn
