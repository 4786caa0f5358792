"""HTML of the figures of the page, each with its caption."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from infoplane.report.figure import DrawnFigure


def figures_html(figures: Sequence[DrawnFigure], folder: Path | None = None) -> str:
    """Return the HTML of figures, each with its caption; in place of one that was left out stands why.

    Args:
        figures: figures whose PNG files are embedded.
        folder: folder of the report; paths of PDF files are shown relative to it. With None only file names are shown.
    """
    parts = []
    for one in figures:
        if one.nothing:
            parts.append(f'<p class="nothing"><strong>{escape(one.title)}</strong>: {escape(one.nothing)}</p>')
            continue
        pdf, title, caption = one.pdf, escape(one.title), escape(one.spec.caption)
        place = pdf.name if folder is None else str(pdf.relative_to(folder) if pdf.is_relative_to(folder) else pdf)
        image = base64.b64encode(one.png.read_bytes()).decode()
        parts.append(
            f'<figure><img alt="{title}. {caption}" src="data:image/png;base64,{image}"><figcaption>'
            f"<strong>{title}.</strong> {caption} Also in <code>{escape(place)}</code>.</figcaption></figure>"
        )
    return "".join(parts)
