"""The JavaScript library that draws the interactive charts of the page: plotly.js, its bundle of flat charts."""

from importlib.resources import files

VERSION = "4.1.1"
# Of plotly-cartesian.min.js in the npm package plotly.js-cartesian-dist-min of this version.
SHA256 = "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a"


def chart_library() -> str:
    """Return the library, which stands in a `<script>` of the page so that the page works offline."""
    return files("infoplane.report").joinpath("plotly_js", "plotly-cartesian.min.js").read_text("utf-8")
