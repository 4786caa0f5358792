"""The picture of the first screen: what it draws beyond the label's information, and the file that it is saved as."""

import base64
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.findings.test_sentences import BOTH, RATES, performance, records

from infoplane.findings.label_profiles import LabelProfiles
from infoplane.report.page_picture import picture_html

BIT = np.log(2)


def picture(**facts):
    return picture_html(LabelProfiles(records(BOTH, **facts), performance(RATES)))


@pytest.fixture(scope="module")
def wide():
    """H(Y) is 3 bits, at conv1 there are 3 bits, and the intervals are wide."""
    return picture(stray=10, ceiling_nats=3 * BIT)


def whiskers(panel):
    """The upper and lower ends of the intervals and whether they have a tip."""
    drawn = re.findall(r'class="whisker" d="M[\d.]+ ([\d.]+)V([\d.]+)(m[^"]*)?"', panel)
    return [(float(low), float(high), bool(tip)) for low, high, tip in drawn]


def test_no_interval_is_drawn_beyond_the_whole_label(wide):
    (ceiling,) = {float(y) for y in re.findall(r'class="ceiling" d="M[\d.]+ ([\d.]+)H', wide)}
    drawn = whiskers(wide)
    assert min(high for _, high, _ in drawn) == pytest.approx(ceiling, abs=0.1)
    tipped = [high for _, high, tip in drawn if tip]
    assert len(tipped) >= 8  # the originals of both trainings have 3 bits
    assert tipped == pytest.approx([ceiling] * len(tipped), abs=0.1)


def test_titles_give_the_raw_interval(wide):
    assert "conv1, original examples: 3.00 bits (2.70 to 3.30), drawn up to the whole label" in wide


def test_every_panel_names_its_axis(wide):
    assert wide.count(">label, bits</text>") == wide.count('<svg class="panel"') == 2


def test_the_picture_is_saved_as_a_file_that_stands_alone():
    (content,) = re.findall(r'data-svg="([^"]+)"', picture())
    root = ElementTree.fromstring(base64.b64decode(content))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    text = "".join(root.itertext())
    assert "Normal training" in text
    for entry in ("original examples", "adversarial examples", "the whole label: 3.32 bits", "permuted labels"):
        assert entry in text
    assert len({panel.get("transform") for panel in root.findall("{*}g") if panel.find("{*}svg") is not None}) == 2
    assert "var(--" not in text
