"""`FigureSpec`: kind, caption, section and drawing function of one figure of the report."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from matplotlib.figure import Figure

from infoplane.report.figure_formats import FORMATS, Format
from infoplane.report.style import save_figure

Source = TypeVar("Source")
Per = Literal["training", "seed", "distortion", "run"]
Section = Literal["figures", "label", "mistakes", "distortion", "attacks", "where", "shape", "evaluation"]


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
        draw: function of the records that returns the figure; `NothingToSee` if the records are there but the figure
            would say nothing; None if there are no records. It is called in `style.figure_style`.
    """

    kind: str
    caption: str
    per: Per = "run"
    section: Section = "figures"
    draw: Callable[[Source], "Figure | NothingToSee | None"]

    def files(self, folder: Path, about: Sequence[str] = (), label: str = "") -> "DrawnFigure":
        """Return the figure in `folder`, whether it is drawn or not.

        Args:
            folder: folder of the figures.
            about: training, seed or distortion that it shows, in short, for file names.
            label: training, seed or distortion that it shows, in words, for the page.
        """
        title = ", ".join(filter(None, (self.kind.replace("-", " ").capitalize(), label)))
        return DrawnFigure(self, title, folder / "-".join([self.kind, *about]))

    def write(
        self,
        source: Source,
        folder: Path,
        about: Sequence[str] = (),
        label: str = "",
        formats: Sequence[Format] = FORMATS,
    ) -> "list[DrawnFigure]":
        """Draw the figure and write its files to `folder`.

        A figure that says nothing in these records has no files; what is returned then says why.

        Args:
            source: the records from which it is drawn.
            folder: folder of the figures.
            about: as in `files`.
            label: as in `files`.
            formats: which files to write.

        Returns:
            The figure, or an empty list if there are no records for it.
        """
        figure = self.draw(source)
        if figure is None:
            return []
        drawn = self.files(folder, about, label)
        if isinstance(figure, NothingToSee):
            return [drawn._replace(nothing=figure.reason, formats=())]
        save_figure(figure, drawn.stem, formats)
        return [drawn._replace(formats=tuple(formats))]


class NothingToSee(NamedTuple):
    """What `FigureSpec.draw` returns in place of a figure whose records are there but show nothing in this run."""

    reason: str  # one plain sentence with the number, e.g. "All 5 layers are at the ceiling of 3.32 bits."


class DrawnFigure(NamedTuple):
    """A figure on disk, or the reason why it was left out."""

    spec: FigureSpec[Any]
    title: str  # title on the page: what it is and which training, seed or distortion it shows
    stem: Path  # path of its files, without suffix
    nothing: str = ""  # why it was left out, as a sentence for the page; then it has no files
    formats: tuple[Format, ...] = FORMATS  # of its files

    @property
    def seed(self) -> int | None:
        """The seed that the figure shows, the last part of its name; None for all seeds."""
        found = re.search(r"-s(\d+)$", self.stem.name)
        return int(found[1]) if found else None

    @property
    def svg(self) -> Path:
        """The path of the SVG."""
        return self.stem.with_name(f"{self.stem.name}.svg")

    @property
    def png(self) -> Path:
        """The path of the PNG."""
        return self.stem.with_name(f"{self.stem.name}.png")

    @property
    def pdf(self) -> Path:
        """The path of the PDF."""
        return self.stem.with_name(f"{self.stem.name}.pdf")


def paths_of(figures: Sequence[DrawnFigure]) -> list[Path]:
    """Return the paths of all files of the figures."""
    return [one.stem.with_name(f"{one.stem.name}.{form}") for one in figures for form in one.formats]
