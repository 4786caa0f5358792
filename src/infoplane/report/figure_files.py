"""Draw the figures of a run into its folder."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

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
    folder, parts = (output or run.path) / "figures", list(recorded_of(run).parts())
    pieces = [
        _Piece(part, figure)
        for part, recorded in enumerate(parts)
        for figure, spec in enumerate(FIGURES)
        if spec.per == recorded.per
    ]
    drawn = dict[_Piece, list[DrawnFigure]]()
    if processes is None:
        drawn |= {piece: _figures_of(parts[piece.part], piece, folder, formats) for piece in pieces}
    else:
        # Both trainings of a seed have the same figures, so every second figure is half of the work.
        shares = [pieces[first :: len(processes)] for first in range(len(processes))]
        works = [partial(_draw, run.path, share, folder, formats) for share in shares if share]
        processes.carry_out(works, lambda said: _hear(said, drawn))
    return [figure for piece in pieces for figure in drawn[piece]]


class _Piece(NamedTuple):
    """One figure of one part of a run's records."""

    part: int  # place in `Recorded.parts`
    figure: int  # place in `FIGURES`


def _draw(run: Path, pieces: Sequence[_Piece], folder: Path, formats: Sequence[Format], tell: Tell) -> None:
    """Draw some figures; tell each with its piece, without its spec, which holds functions."""
    parts = list(recorded_of(RunFolder(run)).parts())
    for piece in pieces:
        tell((piece, [tuple(figure)[1:] for figure in _figures_of(parts[piece.part], piece, folder, formats)]))


def _hear(said: object, drawn: dict[_Piece, list[DrawnFigure]]) -> None:
    assert isinstance(said, tuple)
    piece, figures = said
    drawn[piece] = [DrawnFigure(FIGURES[piece.figure], *figure) for figure in figures]


def _figures_of(part: Recorded, piece: _Piece, folder: Path, formats: Sequence[Format]) -> list[DrawnFigure]:
    with figure_style():
        return list(FIGURES[piece.figure].write(part, folder, part.about, part.label, formats))
