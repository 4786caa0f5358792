"""Section of the page with the figures that no other section shows."""

from infoplane.report.page_section import PageSection, PageSource


def figures_section(source: PageSource) -> PageSection:
    """Return the section."""
    nothing = "<p>Nothing has been recorded yet, so there is nothing to draw.</p>"
    return PageSection("figures", "Figures", source.figures_html("figures") or nothing)
