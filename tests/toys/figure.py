"""Toy figures, added as docs/add-a-figure.md says: this file, and one line in the list of figures."""

from typing import get_args

from matplotlib.figure import Figure

from infoplane.report.figure import FigureSpec, Per
from infoplane.report.recorded import Recorded
from infoplane.report.style import new_figure


def _line(own: Recorded) -> Figure:
    figure = new_figure(f"A line, {own.where}", 2, 2)
    figure.add_subplot().plot([0, 1])
    return figure


TOYS = tuple(
    FigureSpec[Recorded](
        kind=f"toy-{per}",
        per=per,
        section="distortion" if per == "distortion" else "figures",
        caption="A line. It is straight.",
        draw=_line,
    )
    for per in get_args(Per)
)
