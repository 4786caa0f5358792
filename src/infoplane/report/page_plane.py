"""Section of the page with the interactive information plane; the script of the page draws it."""

from infoplane.report.page_resources import resource
from infoplane.report.page_section import PageSection, PageSource


def plane_section(_source: PageSource) -> PageSection:
    """Return the section."""
    return PageSection("plane", "Information plane", resource("page_plane.html"))
