"""The page that compares runs, and a page that refreshes while it is read, in a real browser."""

import shutil
import threading

import pytest

from infoplane.report import watch_server
from infoplane.report.compare_page import compare_html
from infoplane.report.compare_source import ComparedRuns
from infoplane.report.live import write_live_page
from infoplane.report.watch_server import WatchServer
from infoplane.runs.whole_files import write_whole

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium or google-chrome on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser):
    """Open an address; what the page says or asks for is listed."""
    contexts = []

    def opened(address, **settings):
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()


def test_the_comparison_fits_a_phone_and_asks_for_nothing(make_run, tmp_path, opened):
    few = {"epochs": (0, 4), "layers": ("conv1", "a-layer-with-a-long-name.of.a.block", "fc")}
    runs = [make_run(tmp_path / name, seed=seed, **few).path for name, seed in (("one", 1), ("t" * 60, 2))]
    path = tmp_path / "comparison.html"
    path.write_text(compare_html(ComparedRuns(runs)))
    page = opened(path.as_uri(), offline=True, color_scheme="dark", viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert page.locator("svg.drawing").count() > 10
    page.emulate_media(media="print")
    assert page.locator("#differences details table").first.is_visible()
    assert (page.said, page.asked) == ([], [path.as_uri()])


def test_a_watched_page_refreshes_and_keeps_what_the_reader_chose(make_run, tmp_path, opened, monkeypatch):
    monkeypatch.setattr(watch_server, "EVERY_MS", 100)
    few = {"layers": ("conv1", "fc"), "trusted": False}
    run = make_run(tmp_path / "run", epochs=(0, 1), **few)
    later = make_run(tmp_path / "later", epochs=(0, 1, 4), **few)
    with WatchServer(run.path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            page = opened(server.address)
            page.wait_for_selector("h1:text('Waiting')")
            write_live_page(run)
            page.wait_for_selector("#estimator", state="attached")
            page.wait_for_selector("#epoch[max='1']", state="attached")
            page.select_option("#estimator", "binning")
            page.uncheck("#trainings input[value=adversarial]")
            page.evaluate("scrollTo({ top: document.getElementById('geometry').offsetTop + 33, behavior: 'instant' })")
            place = "document.getElementById('geometry').getBoundingClientRect().top"
            before = page.evaluate(place)
            write_live_page(later)
            write_whole(run.path / "report.html", (later.path / "report.html").read_bytes())
            page.wait_for_selector("#epoch[max='2']", state="attached", timeout=20_000)
            page.wait_for_selector("#watch-status:has-text('page of')")
            assert page.evaluate(place) == pytest.approx(before, abs=2)
            assert page.input_value("#estimator") == "binning"
            assert not page.is_checked("#trainings input[value=adversarial]")
            assert page.input_value("#epoch") == "2"  # the newest, as before
            assert page.said == []
            assert {url.removeprefix(server.address) for url in page.asked} <= {"", "state", "favicon.ico"}
        finally:
            server.shutdown()
            thread.join()
