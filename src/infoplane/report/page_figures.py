"""Section of the page with the figures that no other section shows."""

from infoplane.report.page_section import PageSection, PageSource, folded
from infoplane.text import counted


def figures_section(source: PageSource) -> PageSection:
    """Return the section."""
    number = sum(one.spec.section == "figures" and not one.nothing for one in source.figures)
    html = folded(counted(number, "figure"), source.figures_html("figures"))
    nothing = "<p>Nothing has been recorded yet, so there is nothing to draw.</p>"
    return PageSection("figures", "More figures", html if source.figures else nothing)
