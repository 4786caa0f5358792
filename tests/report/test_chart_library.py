"""The shipped chart library is the published one, and fits into a page."""

import hashlib
from importlib.resources import files

from infoplane.report.chart_library import SHA256, VERSION, chart_library


def test_the_library_is_the_published_file():
    assert hashlib.sha256(chart_library().encode()).hexdigest() == SHA256


def test_its_banner_says_its_version_and_its_licence():
    banner = chart_library()[:300]
    assert f"plotly.js (cartesian - minified) v{VERSION}" in banner
    assert "MIT license" in banner


def test_its_licence_stands_beside_it():
    text = files("infoplane.report").joinpath("plotly_js", "LICENSE").read_text("utf-8")
    assert text.startswith("MIT License")
    assert "Plotly" in text


def test_it_does_not_end_the_script_that_it_stands_in():
    assert "</script" not in chart_library().lower()
