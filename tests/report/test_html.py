import base64
import json
import re
from html.parser import HTMLParser

import polars as pl
import pytest

from infoplane.report.bits import in_bits
from infoplane.report.html import report_html, write_report
from infoplane.report.page_data import embedded_json, page_data

NASTY = "<img src=x onerror=alert(1)>&\"'</script>"


def page(run, figures=()):
    return report_html(run.read_config(), run.measurements(), run.performance(), figures)


def without_plotly(text):
    """The page but for plotly's own three million characters."""
    return re.sub(r"<script>/\*\*.*?</script>", "", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def full_page(full_run):
    return page(full_run)


class Outline(HTMLParser):
    """Collect tags, attributes and headings; complain about elements that are not closed in order."""

    VOID = ("meta", "input", "img", "br", "link")

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_accessible(full_page):
    outline = Outline()
    outline.feed(full_page)
    assert outline.open == []
    by_tag = {}
    for tag, attributes in outline.tags:
        by_tag.setdefault(tag, []).append(attributes)
    assert by_tag["html"][0]["lang"] == "en"
    assert len(by_tag["title"]) == len(by_tag["h1"]) == len(by_tag["main"]) == 1
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(a["href"].removeprefix("#") in ids for a in by_tag["a"])
    assert all(label in ids for a in by_tag["section"] for label in [a["aria-labelledby"]])


def test_the_page_refers_to_nothing_outside_itself(full_page):
    outline = Outline()
    outline.feed(full_page)
    links = [value for _, attributes in outline.tags for name, value in attributes.items() if name in ("src", "href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "@import" not in without_plotly(full_page)
    assert "url(" not in without_plotly(full_page)


def test_the_summary_gives_bits_marks_and_proved_bounds(full_page):
    assert '9.97 <span class="mark">sat</span>' in full_page
    assert '1.75<span class="error">&thinsp;±.03</span>' in full_page
    assert '<span class="mark">≤</span> 2.99' in full_page
    assert "proved lower bound" in full_page
    assert "KDE estimate (KL-KL)" in full_page
    assert "5.18 %" in full_page


def test_settings_and_environment_are_listed(full_page):
    assert '<th scope="row">measurement.noise_variance</th><td>0.1</td>' in full_page
    assert '<th scope="row">torch</th><td>synthetic</td>' in full_page


def test_names_from_the_user_are_escaped_everywhere(make_run, tmp_path):
    run = make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), layers=(NASTY, "fc"), recipe=NASTY)
    text = without_plotly(page(run))
    assert "<img" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    blob = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL).group(1)
    assert json.loads(blob)["layers"] == [NASTY, "fc"]


def test_embedded_json_cannot_end_its_script_and_reads_back():
    value = {"name": "</script><!--\u2028&", "values": [1.5, None]}
    text = embedded_json(value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_series_hold_the_records_in_bits(full_run):
    rows = in_bits(full_run.measurements())
    data = page_data(rows, full_run.performance())
    assert len(data["series"]) == 2 * 5 * 3 * 2  # trainings, layers, estimators, examples
    for one in data["series"]:
        own = rows.filter(
            training=one["training"],
            examples=one["examples"],
            estimator=one["estimator"],
            layer=data["layers"][one["layer"]],
        ).sort("epoch")
        assert one["e"] == list(range(11))
        assert one["x"] == pytest.approx(own.filter(quantity="I(X;T)")["value_bits"].to_list(), abs=5.1e-4)
        assert one["y"] == pytest.approx(own.filter(quantity="I(T;Y)")["value_bits"].to_list(), abs=5.1e-4)
        assert one["cy"] == pytest.approx(3.322, abs=1e-3)
    adversarial = next(one for one in data["performance"] if one["curve"] == "test, adversarial")
    assert len(adversarial["accuracy"]) == 11


def test_figures_are_embedded_with_captions(full_run, tmp_path):
    picture = tmp_path / "information-flow-normal-s3.png"
    picture.write_bytes(b"\x89PNG synthetic")
    text = page(full_run, [picture, picture.with_suffix(".pdf")])
    assert text.count("<figure>") == 1
    assert f'src="data:image/png;base64,{base64.b64encode(picture.read_bytes()).decode()}"' in text
    assert "Circles are original examples" in text


def test_a_run_in_progress_says_what_is_missing(make_run, tmp_path):
    run = make_run(
        tmp_path / "run", epochs=(0, 1), trainings=("normal",), examples=("original",), estimators=("kde-kl", "kde-bd")
    )
    text = page(run)
    assert "Nothing has been recorded for adversarial training yet." in text
    assert "is measured up to epoch 1 of 10." in text
    assert "has no measurements on adversarial examples." in text
    assert "has no Binning estimates." in text


def test_a_complete_run_misses_nothing(full_page):
    assert "This run is not complete" not in full_page


def test_a_run_without_records_still_has_a_report(make_run, tmp_path):
    path = write_report(make_run(tmp_path / "run", trainings=()))
    text = path.read_text()
    assert "Nothing has been recorded yet" in text
    assert path.name == "report.html"


def test_a_config_with_nothing_but_its_study_is_enough(full_run):
    text = report_html({"study": "flow"}, full_run.measurements().clear(), full_run.performance().clear(), [])
    assert "What the layers know: flow" in text


def test_two_hundred_epochs_stay_a_small_page(full_run):
    last = in_bits(full_run.measurements().filter(epoch=10)).drop("epoch")
    rows = last.join(pl.DataFrame({"epoch": range(201)}), how="cross")
    moving = (pl.col(name) * (1 + pl.col("epoch") / 1000) for name in ("value_bits", "error_bits", "null_bits"))
    data = page_data(rows.with_columns(*moving), full_run.performance())
    assert len(data["epochs"]) == 201
    assert 200_000 < len(embedded_json(data)) < 1_500_000
