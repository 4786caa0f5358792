"""Section of the page with the information in each layer at the last epoch, as tables."""

from infoplane.report.page_added import added_html
from infoplane.report.page_baselines import baselines_html
from infoplane.report.page_examples import examples_html
from infoplane.report.page_section import PageSection, PageSource, folded
from infoplane.report.page_tables import information_html


def information_section(source: PageSource) -> PageSection:
    """Return the section."""
    parts = (information_html, baselines_html, examples_html, added_html)
    html = folded("Tables of every layer at the last epoch", "".join(part(source.measurements) for part in parts))
    return PageSection("summary", "Information in numbers", html)
