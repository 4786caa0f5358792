"""`PageSection`, a part of the page, and `PageSource`, the records from which all parts are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from infoplane.findings import Findings
from infoplane.findings.label_profiles import LabelProfiles
from infoplane.records.evaluation import Evaluation
from infoplane.report.bits import in_bits
from infoplane.report.figure import DrawnFigure, Section
from infoplane.report.page_images import figures_html
from infoplane.report.subject import Subject, subject_of
from infoplane.runs.folder import RunFolder
from infoplane.text import counted


class PageSection(NamedTuple):
    """A section of the page.

    To add one, write a function from a `PageSource` to a `PageSection`, or to None if the run has nothing for it, and
    add it to `report.sections_in_order.SECTIONS`.

    Attributes:
        anchor: `id` of the section, in small letters and hyphens. Other ids of the section begin with it.
        title: heading, and the name in the list of contents.
        html: content below the heading; names from the user are escaped.
    """

    anchor: str
    title: str
    html: str


@dataclass(frozen=True, kw_only=True)
class PageSource:
    """The records of a run from which the page is made.

    Args:
        config: "study", "settings" and "environment"; missing ones are left out.
        measurements: columns of `records.MEASUREMENT_SCHEMA`, distorted examples too.
        geometry: columns of `records.GEOMETRY_SCHEMA`, likewise.
        performance: columns of `records.PERFORMANCE_SCHEMA`, likewise.
        findings: whether the study's claims hold in these records.
        figures: drawn figures, in the order of the page.
        run: folder of the run, for records beside these tables; None for tables that are not from a folder.
        folder: folder of the page; paths of figures are shown relative to it. With None only file names are shown.
        evaluation: of the run's networks under attack, if there is one.
        claims: whether the page judges the claims of the study.
    """

    config: Mapping[str, Any]
    measurements: pl.DataFrame
    geometry: pl.DataFrame
    performance: pl.DataFrame
    findings: Findings
    figures: Sequence[DrawnFigure] = ()
    run: RunFolder | None = None
    folder: Path | None = None
    evaluation: Evaluation | None = None
    claims: bool = True

    @cached_property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the run; empty if they were not recorded."""
        return self.config.get("settings") or {}

    @cached_property
    def subject(self) -> Subject:
        """Names of data, model and classes."""
        return subject_of(self.config, str(self.config.get("study") or "run"))

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Measurements of undistorted test examples, as `bits.in_bits` returns them."""
        return in_bits(self.measurements)

    @cached_property
    def undistorted_performance(self) -> pl.DataFrame:
        """Performance on undistorted examples."""
        return self.performance.filter(pl.col("distortion").is_null())

    @property
    def is_drawn_anew(self) -> bool:
        """Whether the numbers of different epochs and kinds of examples are of different images."""
        return self.measurements["example_draw"].null_count() < len(self.measurements)

    @cached_property
    def profiles(self) -> LabelProfiles:
        """What decoders read of the label along the layers."""
        return LabelProfiles(self.measurements, self.performance)

    def figures_html(self, section: Section) -> str:
        """Return the figures of one section, each with its caption; those of further seeds are folded away."""
        own = [one for one in self.figures if one.spec.section == section]
        seeds = sorted({one.seed for one in own if one.seed is not None})
        shown = [one for one in own if one.seed is None or one.seed == seeds[0]]
        others = [one for one in own if one not in shown]
        more = f"{counted(len(others), 'figure')} of further seeds"
        return figures_html(shown, self.folder) + (folded(more, figures_html(others, self.folder)) if others else "")


def section_html(section: PageSection) -> str:
    """Return the section with its heading."""
    anchor = escape(section.anchor)
    return (
        f'<section id="{anchor}" aria-labelledby="{anchor}-title">\n<h2 id="{anchor}-title">{escape(section.title)}'
        f"</h2>\n{section.html}</section>\n"
    )


def folded(summary: str, html: str) -> str:
    """Return HTML that is folded away behind one line; in print it is open."""
    return f"<details><summary>{escape(summary)}</summary>{html}</details>\n"


def contents_html(sections: Sequence[PageSection]) -> str:
    """Return the list of contents, with a link to each section."""
    links = "".join(f'<li><a href="#{escape(one.anchor)}">{escape(one.title)}</a></li>\n' for one in sections)
    return f'<nav aria-label="Contents"><ul>\n{links}</ul></nav>'
