"""Figures as SVG for the page: text stays text, and coordinates have no more digits than a screen or printer shows."""

import io
import re

import matplotlib as mpl
from matplotlib.figure import Figure

from infoplane.report.pdf_process import RESOLUTION_DPI

# Text stays text, which readers can select, search and hear. Equal figures get equal names of elements.
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "infoplane"}
_NO_METADATA = {"Creator": None, "Date": None, "Format": None, "Type": None}
# The browser sets the text. Verdana is as wide as DejaVu Sans, the others are narrower, so that no text is cut.
_FONTS = "font-family:'DejaVu Sans',Verdana,Arial,sans-serif"
_TAG = re.compile(r"<[^>]*>")
_PLACE = re.compile(r'( d="[^"]*"| [xy]="[^"]*"| transform="rotate[^"]*")')
_NUMBER = re.compile(r"(-?\d+)\.(\d+)")
_DECIMALS = 2  # of a point of 1/72 inch


def svg_bytes(figure: Figure) -> bytes:
    """Return the figure as SVG, without date or version."""
    buffer = io.StringIO()
    with mpl.rc_context(_SETTINGS):  # type: ignore[arg-type]
        figure.savefig(buffer, format="svg", dpi=RESOLUTION_DPI, metadata=_NO_METADATA)
    return _compact(buffer.getvalue()).encode()


def _compact(text: str) -> str:
    """Shorten the tags of an SVG by matplotlib; the text between them is left as it is."""
    begin = text.index("<svg")  # the page needs no XML declaration, and a file is UTF-8 without one
    text = _TAG.sub(lambda tag: _short_tag(tag[0]), text[begin:])
    return text.replace("*{stroke-linejoin: round", f"text{{{_FONTS}}}*{{stroke-linejoin: round", 1)


def _short_tag(tag: str) -> str:
    if tag.startswith("<text"):
        tag = tag.replace("font-family: 'DejaVu Sans'; ", "").replace("; font-family: 'DejaVu Sans'", "")
    return _PLACE.sub(lambda place: _NUMBER.sub(_rounded, place[0].replace("\n", "")), tag)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.{_DECIMALS}f}".rstrip("0").rstrip(".")
