"""Section of the page with all settings and the versions of the software."""

from infoplane.report.page_section import PageSection, PageSource, folded
from infoplane.report.page_tables import settings_html


def settings_section(source: PageSource) -> PageSection:
    """Return the section."""
    html = folded("All settings, versions and checksums", settings_html(source.config))
    return PageSection("settings", "Settings and environment", html)
