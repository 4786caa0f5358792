import json
import math
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import polars as pl
import pytest

from infoplane.report.bits import in_bits
from infoplane.report.clouds_figure import FOUR_CLOUDS
from infoplane.report.flow_figure import INFORMATION_FLOW
from infoplane.report.geometry_figure import GEOMETRY
from infoplane.report.html import report_html, write_report
from infoplane.report.page_data import embedded_json, page_data
from infoplane.report.page_tables import settings_html

NASTY = "<img src=x onerror=alert(1)>&\"'</script>"


def page(run, figures=()):
    return report_html(run.read_config(), run.measurements(), run.geometry(), run.performance(), figures)


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
    assert len(by_tag["h1"]) == len(by_tag["main"]) == full_page[: full_page.index("<body>")].count("<title>") == 1
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(a["href"].removeprefix("#") in ids for a in by_tag["a"])
    assert all(label in ids for a in by_tag["section"] for label in [a["aria-labelledby"]])


def test_accuracy_comes_before_information_and_what_can_be_memorised_is_folded_away(full_page):
    places = [
        full_page.index(text)
        for text in (
            '<div class="opening">', '<section id="accuracy"', '<section id="summary"', "trust these first",
            "<details><summary>Normal training, seed 3: pairwise and binned estimates, pairwise estimates at relative",
            "information in bits, pairwise and binned estimates", "information in bits, pairwise estimates at relative",
            "</details>", "Adversarial training, seed 3, epoch 10: information in bits, trust these first",
        )
    ]  # fmt: skip
    places[7] = full_page.index("</details>", places[6])
    assert places == sorted(places)
    assert full_page.index('href="#accuracy"') < full_page.index('href="#summary"')


def test_without_numbers_to_trust_first_the_others_are_not_folded_away(make_run, tmp_path):
    text = page(make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), trusted=False))
    assert "<details open><summary>Normal training, seed 3: pairwise and binned estimates</summary>" in text


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
    assert "lower bound for the mixture" in full_page
    assert "KDE estimate (KL-KL)" in full_page
    assert "5.18 %" in full_page


def cells(page, caption):
    """The rows of a table as lists of text."""
    table = page[page.index(f"<caption>{caption}</caption>") :]
    rows = re.findall(r"<tr.*?</tr>", table[: table.index("</table>")], re.DOTALL)
    return [[re.sub("<.*?>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def test_what_to_trust_first_comes_with_interval_and_null(full_page):
    caption = "Normal training, seed 3, epoch 10: information in bits, trust these first"
    rows = cells(full_page, caption)
    assert rows[1][2:] == [
        "Monte Carlo estimate, relative noise",
        "Decoded lower bound", "95 % interval", "null", "value &minus; null mean",
        "Decoded lower bound (decoders trained on clean)", "95 % interval", "null", "value &minus; null mean",
    ]  # fmt: skip
    # The formulas of the run: 0.2 + 0.75 (1 - exp(-5)) of log2 10 bits, 1.96 errors of 0.03 nats either side.
    assert rows[-2] == [
        "fc3", "original", "6.92 sat", "3.14&thinsp;±.04", "3.05 to 3.22", "0.03", "3.12", "-", "-", "-", "-",
    ]  # fmt: skip
    assert rows[-1][4:8] == ["0.03", "2.78", "-1.85&thinsp;±.12", "-2.08 to -1.62"]
    assert [cell.replace(" ", "") for cell in rows[-1][8:]] == ["≤0.03", "-1.87"]


def test_relative_noise_has_a_table_of_its_own(full_page):
    rows = cells(
        full_page, "Normal training, seed 3, epoch 10: information in bits, pairwise estimates at relative noise"
    )
    assert "KDE upper bound (KL)" in rows[1]
    assert rows[2].count("9.95 sat") == 1  # 1 - exp(-64 / 1.2 / 8) of log2 1000
    study = cells(full_page, "Normal training, seed 3, epoch 10: information in bits, pairwise and binned estimates")
    assert len(study) == len(rows)
    assert not any("9.95 sat" in row for row in study)
    assert study[1].count("Monte Carlo estimate") == 2  # at the fixed noise
    assert rows[1].count("Monte Carlo estimate") == 1  # of I(T;Y)


def test_a_run_without_relative_noise_trusts_the_fixed_one(full_run):
    older = full_run.measurements().remove(estimator="noisy", noise_mode="relative")
    text = report_html({}, older, full_run.geometry(), full_run.performance(), [])
    rows = cells(text, "Normal training, seed 3, epoch 10: information in bits, trust these first")
    assert (rows[1][2], rows[-2][2]) == ("Monte Carlo estimate", "9.23 sat")
    data = page_data(in_bits(older), full_run.performance())
    assert (data["estimators"][0], data["labels"]["noisy+decoded"]) == ("noisy+decoded", "Monte Carlo against decoded")


def test_the_sweep_is_left_to_its_figure(full_run):
    rows = full_run.measurements()
    rows = rows.with_columns(value_nats=pl.when(noise_mode="sweep").then(1234.0).otherwise("value_nats"))
    text = report_html({}, rows, full_run.geometry(), full_run.performance(), [])
    assert f"{1234 / math.log(2):.2f}" not in text


def test_geometry_is_given_at_the_last_epoch(full_page):
    rows = cells(full_page, "Normal training, seed 3, epoch 10: geometry of layers")
    # unit variance 0.05 2^4 11 = 8.8, norm 8 sqrt(8.8), index 0.1 + 0.32
    assert rows[-2] == ["fc3", "original", "64", "23.7", "8.8", "0.42", "7", "-"]
    assert rows[-1] == ["fc3", "adversarial", "64", "27.1", "11.4", "0.39", "7", "0.4"]


def test_layers_without_variance_have_no_clustering_to_show(full_run):
    geometry = full_run.geometry().with_columns(class_clustering_index=pl.lit(math.nan))
    text = report_html({}, full_run.measurements(), geometry, full_run.performance(), [])
    assert cells(text, "Normal training, seed 3, epoch 10: geometry of layers")[-2][-3:] == ["-", "7", "-"]


def test_noise_levels_are_those_of_fixed_and_relative_noise(full_page):
    assert "(here: noise variance 0.1, relative noise 0.2 times the layer&#x27;s mean variance per unit)" in full_page


def test_only_samples_of_both_informations_count_as_examples_measured(full_run):
    rows = full_run.measurements()
    mistakes = rows.filter(estimator="decoded", examples="adversarial")
    mistakes = mistakes.with_columns(quantity=pl.lit("I(T;mistaken)"), samples=pl.lit(321, dtype=pl.Int64))
    text = report_html({}, pl.concat([rows, mistakes]), full_run.geometry(), full_run.performance(), [])
    assert "measured on 1,000 test examples." in text


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
    planes = ["noisy@relative+decoded", "noisy@relative+decoded-transfer", "noisy", "kde-kl", "kde-bd", "binning"]
    assert data["estimators"] == [*planes, "noisy@relative", "kde-kl@relative", "kde-bd@relative"]
    assert data["labels"]["noisy@relative+decoded"] == "Monte Carlo at relative noise against decoded"
    assert len(data["series"]) == 2 * 5 * 9 * 2  # trainings, layers, planes, examples
    for one in data["series"]:
        own = rows.filter(training=one["training"], examples=one["examples"], layer=data["layers"][one["layer"]]).sort(
            "epoch"
        )
        noisy, _, decoded = one["estimator"].partition("+")
        if one["examples"] == "original":
            decoded = decoded.removesuffix("-transfer")
        inputs = own.filter(estimator=noisy, quantity="I(X;T)")
        labels = own.filter(estimator=decoded or noisy, quantity="I(T;Y)")
        assert one["e"] == inputs["epoch"].to_list() == labels["epoch"].to_list()
        assert one["x"] == pytest.approx(inputs["value_bits"].to_list(), abs=5.1e-4)
        assert one["y"] == pytest.approx(labels["value_bits"].to_list(), abs=5.1e-4)
        assert one["cy"] == pytest.approx(3.322, abs=1e-3)
        assert one["f"] == "".join("01"[flag] for flag in inputs["undersampled"])
    adversarial = next(one for one in data["performance"] if one["curve"] == "test, adversarial")
    assert len(adversarial["accuracy"]) == 11


def test_figures_are_embedded_with_captions(full_run, tmp_path):
    drawn = INFORMATION_FLOW.files(tmp_path, ["normal", "s3"])
    drawn.svg.write_bytes(b'<svg width="100%" fill="#fff">\n<text>&amp; "q"</text></svg>')
    text = page(full_run, [drawn])
    assert text.count("<figure>") == 1
    address = re.search(r'<img [^>]* src="data:image/svg[+]xml;charset=utf-8,([^"]*)"', text)[1]
    assert unquote(address).encode() == drawn.svg.read_bytes()
    assert "Circles are original examples" in text


def test_the_page_says_where_a_figure_lies_below_the_run(full_run, tmp_path):
    drawn = [GEOMETRY.files(tmp_path / "figures", ["s3"]), FOUR_CLOUDS.files(tmp_path / "sweeps" / "figures")]
    for one in drawn:
        one.svg.parent.mkdir(parents=True)
        one.svg.write_bytes(b"<svg/>")
    tables = (full_run.measurements(), full_run.geometry(), full_run.performance())
    text = report_html({}, *tables, drawn, folder=tmp_path)
    assert "Also in <code>figures/geometry-s3.svg</code>" in text
    assert "Also in <code>sweeps/figures/four-clouds.svg</code>" in text


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
    tables = (full_run.measurements(), full_run.geometry(), full_run.performance())
    text = report_html({"study": "flow"}, *(table.clear() for table in tables), [])
    assert "What the layers encode: flow" in text


def test_two_hundred_epochs_stay_a_small_page(full_run):
    last = in_bits(full_run.measurements().filter(epoch=10)).drop("epoch")
    rows = last.join(pl.DataFrame({"epoch": range(201)}), how="cross")
    moving = (pl.col(name) * (1 + pl.col("epoch") / 1000) for name in ("value_bits", "error_bits", "null_bits"))
    data = page_data(rows.with_columns(*moving), full_run.performance())
    assert len(data["epochs"]) == 201
    assert 200_000 < len(embedded_json(data)) < 1_500_000


@pytest.mark.parametrize(
    "own", [{"data": {"name": "folder", "folder": "pets"}}, {"data": {"name": "npz"}}, {"loop": "own", "data": {}}]
)
def test_claims_are_not_judged_on_own_data_and_the_page_says_how_to_get_them(full_run, own):
    tables = (full_run.measurements().clear(), full_run.geometry().clear(), full_run.performance().clear())
    text = report_html({"study": "flow", "settings": own}, *tables, [])
    assert "<code>infoplane report RUN --claims</code> adds them" in text
    assert 'class="claim"' not in text


def test_the_claims_are_cards_behind_one_line(full_page):
    section = full_page[full_page.index('<section id="findings"') : full_page.index('<section id="summary"')]
    assert re.search(r"<details><summary>7 claims: \d supported, \d contradicted, \d undecided</summary>", section)
    assert section.count('<article class="claim"') == 7


def test_a_setting_that_was_not_set_is_not_printed_as_none():
    shown = settings_html({"settings": {"data": {"folder": None, "size": 28}, "attacks": [], "quick": True}})
    assert '<th scope="row">data.folder</th><td>not set</td>' in shown
    assert "<td>28</td>" in shown
    assert "<td>none</td>" in shown
    assert "None" not in shown
