"""One figure of the report: all that is known of it stands in its `FigureSpec`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from matplotlib.figure import Figure

from infoplane.report.pdfs import Pdfs
from infoplane.report.style import save_figure

Source = TypeVar("Source")
Per = Literal["training", "seed", "distortion", "run"]
Section = Literal["figures", "distortion"]


@dataclass(frozen=True, kw_only=True)
class FigureSpec(Generic[Source]):
    """A figure, its caption, and how it is drawn.

    To add one to the report of a run, write a file with its `FigureSpec` and add it to `report.catalogue.FIGURES`.

    Args:
        kind: what the names of its files begin with, in small letters and hyphens.
        caption: what is drawn, then what to see.
        per: whether it is drawn for each training of each seed, for each seed, for each distortion of each seed, or
            once for the whole run.
        section: of the page, by the `id` that the section has there.
        draw: from the records that the figure is about to the figure; None where they have nothing to draw. It is
            called in `style.figure_style`.
    """

    kind: str
    caption: str
    per: Per = "run"
    section: Section = "figures"
    draw: Callable[[Source], Figure | None]

    def files(self, folder: Path, about: Sequence[str] = (), label: str = "") -> "DrawnFigure":
        """Return where the figure lies in `folder`, drawn or not. The names of its files are made here alone.

        Args:
            folder: of the figures.
            about: which training, seed or distortion it shows, in short, for names of files.
            label: likewise, in words, for the page.
        """
        title = ", ".join(filter(None, (self.kind.replace("-", " ").capitalize(), label)))
        return DrawnFigure(self, title, folder / "-".join([self.kind, *about]))

    def write(
        self, source: Source, folder: Path, about: Sequence[str] = (), label: str = "", pdfs: Pdfs | None = None
    ) -> "list[DrawnFigure]":
        """Draw the figure into `folder`; return it, or nothing where there is nothing to draw.

        Args:
            source: the records that it is drawn from.
            folder: of the figures.
            about: as in `files`.
            label: as in `files`.
            pdfs: what writes the PDF; by default it is written at once.
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
    title: str  # what it is and what it is about, on the page
    stem: Path  # of its files, without suffix

    @property
    def png(self) -> Path:
        """The path of the PNG."""
        return self.stem.with_name(f"{self.stem.name}.png")

    @property
    def pdf(self) -> Path:
        """The path of the PDF."""
        return self.stem.with_name(f"{self.stem.name}.pdf")


def paths_of(figures: Sequence[DrawnFigure]) -> list[Path]:
    """Return the paths of figures, PNG before PDF."""
    return [path for one in figures for path in (one.png, one.pdf)]
