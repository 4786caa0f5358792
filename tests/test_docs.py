"""The pages in docs: lines of prose are short, links work, and all commands and recipes are listed."""

import re
from pathlib import Path

import pytest

from infoplane.commands import cli
from infoplane.recipes import RECIPES

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
WIDTH = 100
# Pages whose prose is wrapped; add a page here when it is.
PAGES = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
RUNNING = (DOCS / "running.md").read_text("utf-8")


def without_code(text):
    """Leave out fenced and indented code, and code inside a line."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`|^ {4}(?! *(?:[-*]|\d+\.) ).*", "", text, flags=re.MULTILINE)


def long_prose_lines(text):
    """Return lines over the width that are no table and no code, and that could be broken outside a link."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.DOTALL | re.MULTILINE)
    long = [line for line in text.splitlines() if len(line) > WIDTH and not re.match(r"\||    \S|!\[", line)]
    return [line for line in long if " " in re.sub(r"!?\[[^\]]*\]\([^)]*\)", "link", line).strip()]


def anchors(text):
    """Return the anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page, text):
    """Return the links of a page to files that do not exist, or to headings that their page does not have."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_code(text)):
        name, _, anchor = link.partition("#")
        if re.match(r"\w+://", link):
            continue
        target = page.parent / name if name else page
        missing = not target.exists()
        if missing or (anchor and anchor not in anchors(target.read_text("utf-8") if name else text)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("name", ["../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md", *PAGES])
def test_lines_of_prose_are_at_most_100_characters_long(name):
    assert long_prose_lines((DOCS / name).read_text("utf-8")) == []


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_and_headings_that_exist(name):
    assert broken_links(DOCS / name, (DOCS / name).read_text("utf-8")) == []


def test_every_page_stands_in_the_navigation_of_the_site():
    trees = re.findall(r"^```\{toctree\}\n(.*?)^```", (DOCS / "index.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    entries = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    patterns = [re.sub(r".*<(.*)>", r"\1", entry) + ".md" for entry in entries]
    pages = [path.relative_to(DOCS) for path in DOCS.rglob("*.md") if path != DOCS / "index.md"]
    assert [str(page) for page in pages if not any(page.match(pattern) for pattern in patterns)] == []


def test_the_check_of_lines_finds_long_prose_and_nothing_else():
    prose, code = "word " * 30, "x" * 120
    fine = f"| {prose} |\n```\n{prose}\n```\n    {prose}\n[a page with a long name]({code})\n"
    assert long_prose_lines(fine) == []
    assert long_prose_lines(f"{fine}- {prose}\n  {prose}") == [f"- {prose}", f"  {prose}"]


def test_the_check_of_links_finds_missing_files_and_headings():
    text = "## A heading, here\n[a](running.md) [b](#a-heading-here) [c](https://example.org/x#y) `[d](e.md)`"
    assert broken_links(DOCS / "own.md", text) == []
    text += "[f](nowhere.md) [g](running.md#nowhere) [h](#nowhere)"
    assert broken_links(DOCS / "own.md", text) == ["nowhere.md", "running.md#nowhere", "#nowhere"]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_in_the_table(name):
    assert re.search(rf"^\| `infoplane {name}[` ]", RUNNING, flags=re.MULTILINE)


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_in_the_table_with_its_cost(name):
    assert f"| `{name}` | {RECIPES[name].purpose} | {RECIPES[name].cost} |" in RUNNING
