"""HTML of the figures of the page, each with its caption, how to read it, and buttons to enlarge and to save it."""

import base64
import gzip
from collections.abc import Sequence
from html import escape
from pathlib import Path

from infoplane.report.figure import DrawnFigure
from infoplane.report.figure_formats import svg_address

_LARGE = 100_000  # bytes from which on a figure is embedded compressed, if that halves it: the script unpacks it


def figures_html(figures: Sequence[DrawnFigure], folder: Path | None = None) -> str:
    """Return the HTML of figures, each with its caption; in place of one that was left out stands why.

    Args:
        figures: figures whose SVG files are embedded.
        folder: folder of the report; paths of files are shown relative to it. With None only file names are shown.
    """
    parts = []
    for one in figures:
        path, title = one.svg, escape(one.title)
        if one.nothing:
            parts.append(f'<p class="nothing"><strong>{title}</strong>: {escape(one.nothing)}</p>')
            continue
        drawn, reading = _sentences(one.spec.caption)
        place = path.name if folder is None else str(path.relative_to(folder) if path.is_relative_to(folder) else path)
        more = f'<details class="reading"><summary>How to read this</summary><p>{escape(reading)}</p></details>'
        parts.append(
            f'<figure><img alt="{title}. {escape(drawn)}" {_source(path)}><figcaption>'
            f"<strong>{title}.</strong> {escape(drawn)} Also in <code>{escape(place)}</code>."
            f'<span class="tools"><button type="button" class="enlarge">Enlarge</button> <button type="button" '
            f'class="save" data-name="{escape(path.name)}">Save as SVG</button></span></figcaption>'
            f"{more if reading else ''}</figure>"
        )
    return "".join(parts)


def _source(path: Path) -> str:
    """Return the attributes that hold the image of an SVG file."""
    content = path.read_bytes()
    packed = gzip.compress(content, 9, mtime=0) if len(content) > _LARGE else content
    if 2 * len(packed) < len(content):
        return f'data-packed="{base64.b64encode(packed).decode()}" data-type="image/svg+xml"'
    return f'src="{svg_address(content)}"'


def _sentences(caption: str) -> tuple[str, str]:
    """Split a caption into its first sentence, what is drawn, and the rest, what to see."""
    first, dot, rest = caption.partition(". ")
    return (f"{first}.", rest) if dot else (caption, "")
