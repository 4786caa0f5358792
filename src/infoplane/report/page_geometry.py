"""Section of the page on the geometry of the layers at the last epoch."""

from infoplane.report.bits import undistorted
from infoplane.report.page_section import PageSection, PageSource, folded
from infoplane.report.page_tables import geometry_html

_TEXT = """<p>Information measured with fixed noise follows the scale of the activations, so read it beside their norm
and variance. The class clustering index is the share of the variance that lies between the classes, 0 by chance and 1
where each class is one point; CKA compares a layer's outputs for attacked examples with those for the originals, 0
where they are unrelated and 1 where they differ by a rotation, offset and scale only. The last epoch; all epochs are
in the <a href="#figures">figures</a>.</p>
"""


def geometry_section(source: PageSource) -> PageSection:
    """Return the section."""
    html = folded("Tables of every layer at the last epoch", _TEXT + geometry_html(undistorted(source.geometry)))
    return PageSection("geometry", "Geometry of the layers", html)
