"""`FigureSpec`: kind, caption, section and drawing function of one figure of the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from matplotlib.figure import Figure

from infoplane.report.pdfs import Pdfs
from infoplane.report.style import save_figure

Source = TypeVar("Source")
Per = Literal["training", "seed", "distortion", "run"]
Section = Literal["figures", "label", "mistakes", "distortion", "attacks", "evaluation"]


@dataclass(frozen=True, kw_only=True)
class FigureSpec(Generic[Source]):
    """A figure, its caption, and how it is drawn.

    To add one to the report of a run, write a file with its `FigureSpec` and add it to the list
    `report.figures_in_order.FIGURES`.

    Args:
        kind: start of the names of its files, in small letters and hyphens.
        caption: what is drawn, then what to see.
        per: whether it is drawn for each training of each seed, for each seed, for each distortion of each seed, or
            once for the whole run.
        section: `id` of the section of the page.
        draw: function of the records that returns the figure, or None if there is nothing to draw. It is called in
            `style.figure_style`.
    """

    kind: str
    caption: str
    per: Per = "run"
    section: Section = "figures"
    draw: Callable[[Source], Figure | None]

    def files(self, folder: Path, about: Sequence[str] = (), label: str = "") -> "DrawnFigure":
        """Return the paths of the figure in `folder`, whether it is drawn or not.

        Args:
            folder: folder of the figures.
            about: training, seed or distortion that it shows, in short, for file names.
            label: training, seed or distortion that it shows, in words, for the page.
        """
        title = ", ".join(filter(None, (self.kind.replace("-", " ").capitalize(), label)))
        return DrawnFigure(self, title, folder / "-".join([self.kind, *about]))

    def write(
        self, source: Source, folder: Path, about: Sequence[str] = (), label: str = "", pdfs: Pdfs | None = None
    ) -> "list[DrawnFigure]":
        """Draw the figure and write its files to `folder`; return an empty list if there is nothing to draw.

        Args:
            source: the records from which it is drawn.
            folder: folder of the figures.
            about: as in `files`.
            label: as in `files`.
            pdfs: writer of the PDF; by default the PDF is written at once.
        """
        figure = self.draw(source)
        if figure is None:
            return []
        drawn = self.files(folder, about, label)
        save_figure(figure, drawn.stem, pdfs)
        return [drawn]


class DrawnFigure(NamedTuple):
    """A figure on disk."""

    spec: FigureSpec[Any]
    title: str  # title on the page: what it is and which training, seed or distortion it shows
    stem: Path  # path of its files, without suffix

    @property
    def png(self) -> Path:
        """The path of the PNG."""
        return self.stem.with_name(f"{self.stem.name}.png")

    @property
    def pdf(self) -> Path:
        """The path of the PDF."""
        return self.stem.with_name(f"{self.stem.name}.pdf")


def paths_of(figures: Sequence[DrawnFigure]) -> list[Path]:
    """Return the paths of all files of the figures, PNG before PDF."""
    return [path for one in figures for path in (one.png, one.pdf)]
