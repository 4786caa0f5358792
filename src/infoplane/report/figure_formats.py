"""Figures as SVG, PNG and PDF, without date or version: equal records give equal bytes.

SVG is for the page. Its text stays text, and coordinates have no more digits than a screen or printer shows.
"""

import io
import re
from typing import Literal, get_args

import matplotlib as mpl
from matplotlib.figure import Figure

Format = Literal["svg", "png", "pdf"]
FORMATS: tuple[Format, ...] = get_args(Format)

RESOLUTION_DPI = 160  # resolution of images, also inside a PDF or an SVG
# Text stays text, which readers can select, search and hear. Equal figures get equal names of elements.
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "infoplane"}
_NO_METADATA = {
    "svg": {"Creator": None, "Date": None, "Format": None, "Type": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Producer": None},
}
# The browser sets the text. Verdana is as wide as DejaVu Sans, the others are narrower, so that no text is cut.
_FONTS = "font-family:'DejaVu Sans',Verdana,Arial,sans-serif"
_TAG = re.compile(r"<[^>]*>")
_PLACE = re.compile(r'( d="[^"]*"| [xy]="[^"]*"| transform="rotate[^"]*")')
_NUMBER = re.compile(r"(-?\d+)\.(\d+)")
_DECIMALS = 2  # of a point of 1/72 inch
_BETWEEN = re.compile(r">\n *<")
_ESCAPED = str.maketrans({character: f"%{ord(character):02X}" for character in '%#"<>&\n'})


def figure_bytes(figure: Figure, form: Format) -> bytes:
    """Return the figure as "svg", "png" or "pdf"."""
    buffer = io.BytesIO()
    with mpl.rc_context(_SETTINGS):  # type: ignore[arg-type]
        figure.savefig(buffer, format=form, dpi=RESOLUTION_DPI, metadata=_NO_METADATA[form])
    content = buffer.getvalue()
    return _compact(content.decode()).encode() if form == "svg" else content


def svg_address(content: bytes) -> str:
    """Return an SVG as an address for the `src` of an image, a quarter shorter than in base64."""
    return "data:image/svg+xml;charset=utf-8," + content.decode().translate(_ESCAPED)


def _compact(text: str) -> str:
    """Shorten the tags of an SVG by matplotlib; the text between them is left as it is."""
    begin = text.index("<svg")  # the page needs no XML declaration, and a file is UTF-8 without one
    text = _TAG.sub(lambda tag: _short_tag(tag[0]), _BETWEEN.sub(">\n<", text[begin:]))
    return text.replace("*{stroke-linejoin: round", f"text{{{_FONTS}}}*{{stroke-linejoin: round", 1)


def _short_tag(tag: str) -> str:
    if tag.startswith("<text"):
        tag = tag.replace("font-family: 'DejaVu Sans'; ", "").replace("; font-family: 'DejaVu Sans'", "")
    return _PLACE.sub(lambda place: _NUMBER.sub(_rounded, place[0].replace("\n", "")), tag)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.{_DECIMALS}f}".rstrip("0").rstrip(".")
