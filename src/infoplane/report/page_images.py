"""HTML of the figures of the page, each with its caption, how to read it, and buttons to enlarge and to save it."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from infoplane.report.figure import DrawnFigure


def figures_html(figures: Sequence[DrawnFigure], folder: Path | None = None) -> str:
    """Return the HTML of figures, each with its caption.

    Args:
        figures: figures whose files are embedded.
        folder: folder of the report; paths of files are shown relative to it. With None only file names are shown.
    """
    parts = []
    for one in figures:
        path, title = one.png, escape(one.title)
        drawn, reading = _sentences(one.spec.caption)
        place = path.name if folder is None else str(path.relative_to(folder) if path.is_relative_to(folder) else path)
        image = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
        more = f'<details class="reading"><summary>How to read this</summary><p>{escape(reading)}</p></details>'
        parts.append(
            f'<figure><img alt="{title}. {escape(drawn)}" src="{image}"><figcaption>'
            f"<strong>{title}.</strong> {escape(drawn)} Also in <code>{escape(place)}</code>."
            f'<span class="tools"><button type="button" class="enlarge">Enlarge</button> <button type="button" '
            f'class="save" data-name="{escape(path.name)}">Save</button></span></figcaption>'
            f"{more if reading else ''}</figure>"
        )
    return "".join(parts)


def _sentences(caption: str) -> tuple[str, str]:
    """Split a caption into its first sentence, what is drawn, and the rest, what to see."""
    first, dot, rest = caption.partition(". ")
    return (f"{first}.", rest) if dot else (caption, "")
