import re
import shutil
from functools import cache
from pathlib import Path

import polars as pl
import pytest

from infoplane.records.tables import flat
from infoplane.report.flow_figure import INFORMATION_FLOW
from infoplane.report.html import report_html
from infoplane.runs.folder import RunFolder

axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
HEADS = "document.getElementById('plane-chart').data.filter(trace => trace.meta === 'head').map(trace => trace.name)"
TRAIL = "document.getElementById('plane-chart').data.find(trace => trace.name === '{}' && trace.meta === 'trail')"


@cache
def page_of(path):
    run = RunFolder(path)
    figures = [INFORMATION_FLOW.files(path / "figures", ["normal", "s3"])]
    tables = (run.measurements(), run.geometry(), run.performance())
    return report_html(run.read_config(), *tables, [one for one in figures if one.svg.is_file()])


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium or google-chrome on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def opener(browser, tmp_path_factory):
    """Open the report of a run offline; complaints and requests beyond the file itself fail the test."""
    complaints, requests, contexts, places = [], [], [], []

    def open_page(run, *, plane=None, **settings):
        places.append(tmp_path_factory.mktemp("page") / "report.html")
        places[-1].write_text(page_of(run.path))
        contexts.append(browser.new_context(offline=True, **settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(places[-1].as_uri())
        page.wait_for_selector("#accuracy-chart .main-svg, #accuracy-chart.empty", state="attached")
        if plane is not None:
            page.select_option("#estimator", plane)
        return page

    def check():
        assert complaints == []
        elsewhere = [url for url in requests if not url.startswith(("data:", "blob:"))]
        assert elsewhere == [place.as_uri() for place in places]

    yield open_page, contexts, check
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(opener):
    """Open the report of a run in a page of its own."""
    open_page, contexts, check = opener
    before = len(contexts)
    yield open_page
    for context in contexts[before:]:
        context.close()
    del contexts[before:]
    check()


@pytest.fixture(scope="module")
def shared_page(opener, full_run):
    return opener[0](full_run, viewport={"width": 1280, "height": 900}, accept_downloads=True)


@pytest.fixture
def one_page(opener, shared_page):
    """The report of the full run, which several tests look at."""
    yield shared_page
    opener[2]()


def test_the_slider_moves_the_plane_through_the_epochs(full_run, open_page):
    page = open_page(full_run, plane="kde-kl")
    length = f"{TRAIL.format('fc3/normal/original')}.x.length"
    assert page.evaluate(length) == 11  # opens at the last epoch
    page.focus("#epoch")
    page.keyboard.press("Home")
    assert page.evaluate(length) == 1
    assert page.inner_text("#epoch-value") == "0"
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.evaluate(length) == 4
    assert page.inner_text("#epoch-value") == "3"


def test_play_runs_to_the_last_epoch_and_stops(make_run, tmp_path, open_page):
    page = open_page(make_run(tmp_path / "run", epochs=(0, 1, 4), layers=("fc3",)), plane="kde-kl")
    page.click("#play")
    assert page.inner_text("#play") == "Pause"
    sync_api.expect(page.locator("#play")).to_have_text("Play", timeout=30_000)
    assert page.inner_text("#epoch-value") == "4"
    assert page.evaluate(f"{TRAIL.format('fc3/normal/original')}.x.length") == 3


def test_the_selectors_choose_estimator_training_examples_and_layers(full_run, open_page):
    page = open_page(full_run, plane="kde-kl")
    layers = ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert page.evaluate(HEADS) == [
        f"{layer}/{training}/original" for training in ("normal", "adversarial") for layer in layers
    ]
    page.uncheck("#trainings input[value=adversarial]")
    page.check("#examples input[value=adversarial]")
    assert page.evaluate(HEADS) == [
        f"{layer}/normal/{examples}" for examples in ("original", "adversarial") for layer in layers
    ]
    page.uncheck("#layers input[value='0']")
    assert not any(name.startswith("conv1/") for name in page.evaluate(HEADS))
    before = page.evaluate(f"{TRAIL.format('fc3/normal/original')}.x")
    page.select_option("#estimator", "binning")
    after = page.evaluate(f"{TRAIL.format('fc3/normal/original')}.x")
    # In the run's formulas binning sees 0.76 of what KDE sees.
    assert after == pytest.approx([0.76 * value for value in before], abs=2e-3)


def test_the_values_table_gives_the_numbers_of_the_chosen_epoch(full_run, open_page):
    page = open_page(full_run, plane="kde-kl")
    page.click("#values summary")
    page.wait_for_selector("#values-table tbody tr")
    rows = page.locator("#values-table tbody tr").all_inner_texts()
    assert rows[0].split("\t") == [
        "conv1", "normal", "original", "10", "9.97 saturated", "9.97", "1.75 ± 0.03", "≤ 2.99", "3.32",
    ]  # fmt: skip


def test_the_page_opens_with_the_plane_to_trust_first(full_run, open_page):
    page = open_page(full_run)
    assert page.input_value("#estimator") == "noisy@relative+decoded"
    assert page.evaluate(f"{TRAIL.format('fc3/normal/original')}.x.length") == 6  # measured at fewer epochs
    page.click("#values summary")
    page.wait_for_selector("#values-table tbody tr")
    rows = page.locator("#values-table tbody tr").all_inner_texts()
    assert rows[4].split("\t") == [
        "fc3", "normal", "original", "10", "6.92 saturated", "9.97", "3.14 ± 0.04", "> 0.03", "3.32",
    ]  # fmt: skip
    page.focus("#epoch")
    page.keyboard.press("ArrowLeft")
    rows = page.locator("#values-table tbody tr").all_inner_texts()
    assert rows[4].split("\t")[3:] == ["7", "6.83 saturated", "9.97", "3.08 ± 0.04", "none", "3.32"]


def test_decoders_of_originals_are_selectable_and_drawn_clipped(full_run, open_page):
    page = open_page(full_run, plane="noisy@relative+decoded-transfer")
    page.check("#examples input[value=adversarial]")
    assert page.evaluate(f"{TRAIL.format('fc3/normal/adversarial')}.y").count(0) == 5
    text = page.evaluate(f"{TRAIL.format('fc3/normal/adversarial')}.text.at(-1)")
    assert "I(T;Y) -1.85 ± 0.12" in text
    assert "drawn clipped" in text


def test_values_outside_their_range_are_drawn_at_the_edge(full_run, open_page):
    page = open_page(full_run)
    page.select_option("#estimator", "binning")
    assert page.evaluate(f"{TRAIL.format('fc3/normal/original')}.y[0]") == 0
    assert "drawn clipped" in page.evaluate(f"{TRAIL.format('fc3/normal/original')}.text[0]")


def test_a_hostile_layer_name_stays_text(make_run, tmp_path, open_page):
    name = "<b>x</b><img src=x onerror=alert(1)>"
    page = open_page(make_run(tmp_path / "run", epochs=(0, 1), trainings=("normal",), layers=(name, "fc")))
    assert page.locator("img").count() == 0
    assert name in page.inner_text("#layers")
    assert name in page.text_content("#plane-chart")


@pytest.mark.parametrize("trainings", [(), ("normal",)])
def test_unfinished_runs_open_without_complaint(make_run, tmp_path, open_page, trainings):
    page = open_page(make_run(tmp_path / "run", epochs=(0,), trainings=trainings, examples=("original",)))
    assert page.is_visible(".missing")


def test_a_phone_scrolls_down_only(full_run, open_page):
    page = open_page(full_run, viewport={"width": 360, "height": 740}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_buttons_of_a_chart_are_small_and_send_nothing_away(full_run, open_page):
    page = open_page(full_run)
    buttons = "[...document.querySelectorAll('#accuracy-chart .modebar-btn')]"
    titles = page.evaluate(f"{buttons}.map(one => one.dataset.title)")
    assert "Reset axes" in titles
    assert [title for title in titles if re.search("share|cloud|edit", title, re.IGNORECASE)] == []
    assert page.evaluate("document.getElementById('accuracy-chart')._context.plotlyServerURL") == ""
    assert page.evaluate(f"Math.max(...{buttons}.map(one => one.clientWidth))") < 40
    bar = "getComputedStyle(document.querySelector('#accuracy-chart .modebar-group')).backgroundColor"
    assert page.evaluate(bar) == "rgba(0, 0, 0, 0)"


def test_findings_fit_a_window_of_1400_pixels(full_run, open_page):
    page = open_page(full_run, viewport={"width": 1400, "height": 900})
    wide = page.evaluate(
        "[...document.querySelectorAll('#findings .scroll')].filter(one => one.scrollWidth > one.clientWidth).length"
    )
    assert page.locator("#findings table").count() > 6
    assert wide == 0


def test_tables_of_what_can_be_memorised_open_with_a_click(full_run, open_page):
    page = open_page(full_run)
    folded = page.locator("#summary details table").first
    assert not folded.is_visible()
    page.locator("#summary summary").first.click()
    assert folded.is_visible()


def test_in_print_nothing_is_folded_away_or_cut(full_run, open_page):
    page = open_page(full_run, viewport={"width": 1047, "height": 700})
    page.emulate_media(media="print")
    heights = page.evaluate(
        "[...document.querySelectorAll('#summary details table, #values table')].map(one => one.clientHeight)"
    )
    assert len(heights) == 9
    assert min(heights) > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= 1047
    for selector in (".modebar-container", ".controls", "nav"):
        assert not page.locator(selector).first.is_visible()
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.evaluate(style.format(".scroll", "overflowX")) == "visible"
    assert page.evaluate(style.format("tbody tr", "breakInside")) == "avoid"


def test_print_is_landscape(full_run, open_page):
    page = open_page(full_run)
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", page.pdf(prefer_css_page_size=True))
    assert boxes
    assert all(float(width) > float(height) for width, height in boxes)


def test_charts_take_the_width_of_the_paper_and_give_it_back(full_run, open_page):
    page = open_page(full_run, viewport={"width": 1400, "height": 900})
    widths = "[...document.querySelectorAll('.chart')].map(chart => chart._fullLayout.width)"
    on_screen = page.evaluate(widths)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(widths) == [960] * 3
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(widths) == on_screen


SIX = ("normal", "adversarial", "trades", "mart", "free", "awp")
BELOW = """[...document.querySelectorAll('.lead, .opening table, .panel, .sentences li')].map(
    one => Math.ceil(one.getBoundingClientRect().bottom))"""


def with_groups(run):
    """Give the decoded numbers of the last epoch groups of examples, so that sentences have intervals."""
    (path,) = (run.path / "measurements").glob("*-normal-e0010.parquet")
    rows = pl.read_parquet(path)
    run.write_table(path, rows.with_columns(group_means=pl.concat_list([pl.col("value_nats")] * 20)))
    return run


@pytest.mark.parametrize("trainings", [("normal", "adversarial"), SIX], ids=len)
def test_the_first_screen_has_facts_picture_and_sentences(make_run, tmp_path, open_page, trainings):
    run = with_groups(make_run(tmp_path / "run", epochs=(0, 10), trainings=trainings))
    page = open_page(run, viewport={"width": 1280, "height": 900})
    bottoms = page.evaluate(BELOW)
    assert page.locator(".panel").count() == page.locator(".opening tbody tr").count() == len(trainings)
    assert page.locator(".sentences li").count() >= 2
    assert max(bottoms) <= 900
    assert page.locator(".panel").first.bounding_box()["height"] > 120


def test_axes_end_at_the_data_and_choosing_an_estimator_changes_them(one_page):
    page = one_page
    axes = """['xaxis', 'yaxis'].map(axis => document.getElementById('plane-chart')._fullLayout[axis].range)"""
    places = """['x', 'y'].map(side => document.getElementById('plane-chart').data
        .filter(trace => trace.meta === 'trail').flatMap(trace => trace[side]))"""
    before = page.evaluate(axes)
    for (low, high), values in zip(before, page.evaluate(places), strict=True):
        assert low < min(values) < max(values) < high
        assert max(values) - min(values) > 0.7 * (high - low)
    page.select_option("#estimator", "binning")
    assert page.evaluate(axes) != before


def test_a_table_is_saved_as_csv_and_parquet(full_run, one_page, tmp_path):
    page = one_page
    expected = flat(full_run.performance())
    for suffix, read in (("csv", pl.read_csv), ("parquet", pl.read_parquet)):
        with page.expect_download() as saved:
            page.click(f"button[data-table='downloads-performance-{suffix}']")
        saved.value.save_as(tmp_path / saved.value.suggested_filename)
        table = read((tmp_path / f"performance.{suffix}").read_bytes())
        assert table.columns == expected.columns
        assert table["accuracy"].to_list() == expected["accuracy"].to_list()


def drawn(run, size):
    """Put a picture where a figure of the run would lie."""
    path = INFORMATION_FLOW.files(run.path / "figures", ["normal", "s3"]).svg
    path.parent.mkdir()
    start = f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]}" height="{size[1]}">'
    path.write_text(f"{start}<text>50 % &amp; é</text>{'<g/>' * 400 * (size[0] - 60)}</svg>")
    return run


@pytest.mark.parametrize("size", [(100, 60), (400, 200)], ids=["small", "compressed"])
def test_a_figure_is_enlarged_and_saved_as_it_is(make_run, tmp_path, open_page, size):
    run = drawn(make_run(tmp_path / "run", epochs=(0,), trainings=("normal",), layers=("fc",)), size)
    page = open_page(run, viewport={"width": 390, "height": 844}, accept_downloads=True)
    page.click("#figures summary")
    page.wait_for_function(f"document.querySelector('#figures img').naturalWidth === {size[0]}")
    small = page.locator("#figures img").bounding_box()["width"]
    page.click("#figures img")
    assert page.locator("dialog img").bounding_box()["width"] > 2 * small
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    with page.expect_download() as saved:
        page.click("#figures button.save")
    (path,) = (run.path / "figures").iterdir()
    assert Path(saved.value.path()).read_bytes() == path.read_bytes()
    assert saved.value.suggested_filename == path.name


def test_axe_finds_no_serious_violation_and_no_column_is_cut(make_run, tmp_path, open_page):
    page = open_page(make_run(tmp_path / "run", epochs=(0, 10), layers=("conv", "fc")))
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    for scheme, width in (("light", 1280), ("dark", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth") == width
        # whatever is wider than the window scrolls in its own region
        outside = """[...document.querySelectorAll('main *')].filter(one => !one.closest('.scroll, .chart, svg, script')
            && one.getBoundingClientRect().right > innerWidth + 1).length"""
        assert page.evaluate(outside) == 0
