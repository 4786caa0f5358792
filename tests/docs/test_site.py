"""The documentation site builds without a warning, and loads nothing from elsewhere."""

import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from tests.docs.pages import DOCS, REPOSITORY

pytest.importorskip("sphinx", reason="`make install` installs the documentation's extra")
pytest.importorskip("myst_parser")
pytest.importorskip("furo")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
LOADING = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}


class Loaded(HTMLParser):
    """Collects what a browser fetches to show a page; a link that a reader may follow is none of it."""

    def __init__(self):
        super().__init__()
        self.addresses = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag in LOADING and given.get("rel") not in ("next", "prev", "index", "search", "canonical"):
            self.addresses.append(given.get(LOADING[tag]) or "")


def is_elsewhere(address):
    return bool(re.match(r"(https?:)?//", address))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site; a warning of the generator is an error."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", str(DOCS), str(site)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return site


def test_every_page_of_docs_is_built(site):
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}


def test_pages_load_nothing_from_elsewhere(site):
    found = {}
    for page in site.rglob("*.html"):
        reader = Loaded()
        reader.feed(page.read_text("utf-8"))
        assert reader.addresses
        found[page.name] = [address for address in reader.addresses if is_elsewhere(address)]
    assert {name: addresses for name, addresses in found.items() if addresses} == {}
    styles = "".join(path.read_text("utf-8") for path in site.rglob("*.css"))
    assert [address for address in re.findall(r"url\(['\"]?([^)'\"]+)", styles) if is_elsewhere(address)] == []


def test_search_finds_a_page_in_a_browser_without_a_network(site):
    if BROWSER is None:
        pytest.skip("no chromium or google-chrome on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    asked, complaints = [], []
    with playwright.sync_playwright() as program:
        browser = program.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((site / "search.html").as_uri() + "?q=saturation")
        found = page.locator("#search-results li a").first
        found.wait_for(timeout=20_000)
        found.click()
        page.wait_for_load_state()
        assert "saturat" in page.content().lower()
        browser.close()
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    assert complaints == []
