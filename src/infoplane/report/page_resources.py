"""Read the files of the page that are not Python: text, style and script."""

from functools import cache
from importlib.resources import files


@cache
def resource(name: str) -> str:
    """Return the text of a file in this folder."""
    return files("infoplane.report").joinpath(name).read_text("utf-8")
