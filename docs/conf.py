"""Settings of the documentation site: `make docs` builds it with Sphinx, MyST and Furo."""

import re

project = "infoplane"
author = "The infoplane authors"
language = "en"

extensions = ["myst_parser"]
myst_heading_anchors = 6  # links to headings are those of GitHub
root_doc = "index"

highlight_language = "sh"  # of blocks without a language, which hold command lines

html_theme = "furo"
html_title = "infoplane"
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # a page opened from a file may not fetch others for summaries

_ABOVE_DOCS = {"../CHANGELOG.md": "changelog.md", "../CONTRIBUTING.md": "contributing.md"}


def _link_within_the_site(_app, _page, source):
    """Lead links to files above docs/, which GitHub needs, to the pages that include these files."""
    for above, included in _ABOVE_DOCS.items():
        source[0] = re.sub(rf"\]\({re.escape(above)}", f"]({included}", source[0])


def setup(app):
    app.connect("source-read", _link_within_the_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
