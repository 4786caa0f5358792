"""Section of the page on accuracy and loss: curves over epochs and a table of the last epoch."""

from infoplane.report.page_section import PageSection, PageSource
from infoplane.report.page_tables import accuracy_html

_CHARTS = (
    "<p>Accuracy and cross-entropy over completed epochs. Point at a curve for its numbers; a click in the legend "
    "hides one.</p>\n"
    '<div id="accuracy-chart" class="chart low" role="img" aria-label="Accuracy over epochs; the last values are in '
    'the table below."></div>\n'
    '<div id="loss-chart" class="chart low" role="img" aria-label="Loss over epochs."></div>\n'
)


def accuracy_section(source: PageSource) -> PageSection:
    """Return the section."""
    return PageSection("accuracy", "Accuracy", _CHARTS + accuracy_html(source.undistorted_performance))
