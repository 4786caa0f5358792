"""Sections of the page on how to read its numbers, and on what they do not say."""

from collections.abc import Sequence
from html import escape
from string import Template

import polars as pl

from infoplane.records.tables import FIXED_NOISE, RELATIVE_NOISE
from infoplane.report.bits import own_noise_layers, relative_noise_text, resolution_text
from infoplane.report.labels import AT_OWN
from infoplane.report.page_resources import resource
from infoplane.report.page_section import PageSection, PageSource

_DRAWN_ANEW = """<li><strong>Originals and attacked examples are different images.</strong> This run drew its test
images anew at each epoch, for the originals and for each attack. So a difference between two kinds of examples, or
between two epochs, contains the choice of images. It is not paired, and its interval contains this choice. All
trainings and seeds have the same draws. Decoders that are applied to attacked examples were trained on the originals
of these.</li>
"""


def reading_section(_source: PageSource) -> PageSection:
    """Return the words that the page uses."""
    return PageSection("reading", "How to read this", resource("page_reading.html"))


def limits_section(source: PageSource) -> PageSection:
    """Return what the numbers do not say."""
    drawn = _DRAWN_ANEW if source.is_drawn_anew else ""
    html = Template(resource("page_limits.html")).substitute(noise=escape(_noise(source.rows)), drawn=drawn)
    return PageSection("limits", "What these numbers do not say", html)


def _noise(rows: pl.DataFrame) -> str:
    variances = rows.filter(noise_mode=FIXED_NOISE)["noise_variance"].unique().sort().to_list()
    widths = rows["bin_width"].drop_nulls().unique().sort().to_list()
    parts = []
    if variances:
        parts.append(f"noise variance {_span(variances)}")
    if RELATIVE_NOISE in rows["noise_mode"]:
        resolution = resolution_text(rows)
        parts.append(f"relative noise {relative_noise_text(rows)}" + (f" ({resolution})" if resolution else ""))
    if own := own_noise_layers(rows):
        parts.append(f"{AT_OWN} in {', '.join(own)}")
    if widths:
        parts.append(f"bin width {_span(widths)}")
    return f" (here: {', '.join(parts)})" if parts else ""


def _span(values: Sequence[float]) -> str:
    return f"{values[0]:.4g}" if len(values) == 1 else f"{values[0]:.4g} to {values[-1]:.4g}"
