"""Section of the page with the figures that no other section shows."""

from infoplane.report.page_section import PageSection, PageSource


def figures_section(source: PageSource) -> PageSection:
    """Return the section."""
    nothing = "<p>No figure has been drawn yet: figures are drawn when the run ends.</p>"
    return PageSection("figures", "Figures", source.figures_html("figures") or nothing)
