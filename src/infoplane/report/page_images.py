"""HTML of the figures of the page, each with its caption."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from infoplane.report.figure import DrawnFigure
from infoplane.report.figure_formats import svg_address


def figures_html(figures: Sequence[DrawnFigure], folder: Path | None = None) -> str:
    """Return the HTML of figures, each with its caption; in place of one that was left out stands why.

    Args:
        figures: figures whose SVG files are embedded.
        folder: folder of the report; paths of files are shown relative to it. With None only file names are shown.
    """
    parts = []
    for one in figures:
        if one.nothing:
            parts.append(f'<p class="nothing"><strong>{escape(one.title)}</strong>: {escape(one.nothing)}</p>')
            continue
        svg, title, caption = one.svg, escape(one.title), escape(one.spec.caption)
        place = svg.name if folder is None else str(svg.relative_to(folder) if svg.is_relative_to(folder) else svg)
        image = svg_address(svg.read_bytes())
        parts.append(
            f'<figure><img alt="{title}. {caption}" src="{image}"><figcaption>'
            f"<strong>{title}.</strong> {caption} Also in <code>{escape(place)}</code>.</figcaption></figure>"
        )
    return "".join(parts)
