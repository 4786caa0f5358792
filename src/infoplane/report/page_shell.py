"""The frame of every page: head, contents, sections, data and scripts, in one file that needs no network."""

from collections.abc import Sequence
from html import escape
from string import Template
from typing import Any

from infoplane.report.page_data import embedded_json
from infoplane.report.page_resources import resource
from infoplane.report.page_section import PageSection, contents_html, section_html


def shell_html(
    *,
    title: str,
    header: str,
    sections: Sequence[PageSection],
    data: Any = None,
    scripts: Sequence[str] = (),
    style: str = "",
    footer: str = "Made by infoplane.",
) -> str:
    """Return a whole page.

    Args:
        title: of the window, as text.
        header: HTML above the list of contents.
        sections: in their order.
        data: what the scripts read as JSON from the element `data`.
        scripts: JavaScript, which no `</script>` may end.
        style: CSS beside that of every page.
        footer: a sentence, as text.
    """
    return Template(resource("page.html")).substitute(
        title=escape(title),
        css=resource("page.css") + style,
        header=header,
        contents=contents_html(sections),
        sections="\n".join(map(section_html, sections)),
        footer=escape(footer),
        data=embedded_json(data),
        scripts="\n".join(f"<script>{script}</script>" for script in (*scripts, resource("page_tools.js"))),
    )
