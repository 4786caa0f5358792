"""Section of the page with the figures that no other section shows."""

from infoplane.report.page_section import PageSection, PageSource, folded
from infoplane.text import counted


def figures_section(source: PageSource) -> PageSection:
    """Return the section."""
    number = sum(one.spec.section == "figures" and not one.nothing for one in source.figures)
    html = folded(counted(number, "figure"), source.figures_html("figures"))
    nothing = "<p>No figure has been drawn yet: figures are drawn when the run ends.</p>"
    return PageSection("figures", "More figures", html if source.figures else nothing)
