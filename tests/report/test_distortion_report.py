"""Sheet, page section and terminal table of distorted examples."""

import itertools
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console
from tests.report.distorted import LEVELS, SEED, distorted_run

from infoplane.report.bits import distorted
from infoplane.report.comparison_figure import COMPARISON
from infoplane.report.distortion_figure import DISTORTION, DISTORTION_LAYERS
from infoplane.report.distortion_sheet import DISTORTION_SHEET, distortion_sheet
from infoplane.report.distortion_table import distortion_table
from infoplane.report.figure_files import write_figures
from infoplane.report.html import report_html
from infoplane.runs.folder import RunFolder


@pytest.fixture(scope="module")
def run(make_run, tmp_path_factory):
    return distorted_run(make_run, tmp_path_factory.mktemp("distorted") / "run")


@pytest.fixture(scope="module")
def sheet(run):
    sheets = {
        training: run.read_examples("distortion", SEED, training, "high-pass") for training in ("normal", "adversarial")
    }
    return distortion_sheet(sheets, "high-pass", "title")


def test_the_sheet_shows_every_example_level_and_attack(sheet):
    grid = np.asarray(sheet.axes).reshape(2 * 3, 3)  # two examples: as they are, and attacked on either network
    assert [axes.get_title() for axes in grid[0]] == ["∞", "4", "0.5"]
    for row in range(6):
        for column in range(3):
            version = 0 if row % 3 == 0 else 1
            pixels = grid[row, column].images[0].get_array()
            assert (pixels == 20 * (2 * column + version)).all()
    labels = [axes.get_ylabel() for axes in grid[:, 0]]
    assert labels[:3] == [
        "zero, original",
        "zero, adversarial\n(normal training)",
        "zero, adversarial\n(adversarial training)",
    ]
    assert labels[3] == "<b>\\$one, original"


def test_wrong_classes_are_crossed_out_and_bold(sheet):
    grid = np.asarray(sheet.axes).reshape(6, 3)
    texts = [[(text.get_text(), text.get_fontweight()) for text in axes.texts] for axes in grid[:, 0]]
    wrong, right = ("<b>\\$one ✗", "bold"), ("<b>\\$one", "normal")
    assert texts[0] == [("normal: <b>\\$one ✗", "bold"), ("adversarial: <b>\\$one ✗", "bold")]
    assert texts[1:3] == [[wrong], [wrong]]
    assert texts[3] == [("normal: zero ✗", "bold"), ("adversarial: <b>\\$one", "normal")]
    assert texts[4:] == [[("zero ✗", "bold")], [right]]


def test_images_do_not_overlap_the_words(sheet):
    boxes = [axes.get_position() for axes in sheet.axes]
    assert len({(round(box.width, 6), round(box.height, 6)) for box in boxes}) == 1
    assert all(box.y0 >= 0 and box.y1 <= 1 and box.x0 >= 0 and box.x1 <= 1 for box in boxes)
    rows = sorted({round(box.y0, 6) for box in boxes})
    assert min(upper - lower for lower, upper in itertools.pairwise(rows)) > boxes[0].height


def cells(page, caption):
    table = page[page.index(f"<caption>{caption}") :]
    rows = re.findall(r"<tr.*?</tr>", table[: table.index("</table>")], re.DOTALL)
    return [[re.sub("<.*?>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def page_of(run, figures=()):
    return report_html(run.read_config(), run.measurements(), run.geometry(), run.performance(), figures)


def test_the_page_has_a_section_with_figures_and_tables(run, tmp_path):
    figures = [
        COMPARISON.files(tmp_path, ["s3"], "seed 3"),
        DISTORTION.files(tmp_path, ["s3"], "seed 3"),
        DISTORTION_SHEET.files(tmp_path, ["saturation", "s3"], "saturation, seed 3"),
    ]
    for one in figures:
        one.svg.write_bytes(one.title.encode())
    page = page_of(run, figures)
    section = page[page.index('<section id="distortion"') :]
    section = section[: section.index("</section>")]
    assert '<a href="#distortion">' in page
    assert re.findall(r"<strong>(.*?)</strong>", section) == [
        "Distortion, seed 3.", "Distortion sheet, saturation, seed 3.",
    ]  # fmt: skip
    assert page.count("<figure>") == 3
    assert "Accuracy, loss and both informations of the last layer" in section
    assert "A few examples at every level" in section
    rows = cells(section, "Saturation (destroys texture), seed 3, layer fc3")
    assert len(rows) == 1 + 3 * 4
    # (0.9 - 0.2) 0.8 0.9 ln(400) nats of KDE; 0.9 - 0.4 - 0.2 of ln(10) decoded, +- 0.098 nats
    assert "I(X;T), Monte Carlo, relative noise" in rows[0]
    # noisy: (0.9 - 0.15 - 0.2) 0.8 0.9 ln(400) nats
    assert rows[1][:7] == ["2", "normal", "original", "90.00 %", "0.1", "3.42&thinsp;±.07", "4.36&thinsp;±.07"]
    assert rows[1][11:13] == ["0.72&thinsp;±.07", "0.58 to 0.86"]
    assert rows[12][:3] == ["adversarial", "adversarial", "42.00 %"]
    assert len(rows[0]) == len(rows[1]) == len(rows[12]) + 1


class Outline(HTMLParser):
    """Collect ids and links; complain about elements that are not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        if tag not in ("meta", "input", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_well_formed(run):
    outline = Outline()
    outline.feed(page_of(run))
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert "#distortion" in outline.links
    assert {link.removeprefix("#") for link in outline.links} <= set(outline.ids)


def without(page, *sections):
    for name in sections:
        start = page.index(f'<section id="{name}"')
        page = page[:start] + page[page.index("</section>", start) + len("</section>") :]
    return page


def test_undistorted_numbers_of_the_page_stay_as_they_were(run, make_run, tmp_path):
    plain = make_run(tmp_path / "plain", epochs=(10,))
    one = without(page_of(run), "distortion", "findings", "downloads")
    other = without(page_of(plain), "findings", "downloads")
    one = one.replace('<li><a href="#distortion">Distorted examples</a></li>', "")
    assert one.replace("\n", "") == other.replace("\n", "")


def distortion_figures(run, monkeypatch):
    """What is drawn of study two, without rendering it."""
    monkeypatch.setattr("infoplane.report.figure.save_figure", lambda figure, stem, formats: None)
    monkeypatch.setattr("infoplane.report.figure_files.FIGURES", (DISTORTION, DISTORTION_LAYERS, DISTORTION_SHEET))
    return {one.stem.name for one in write_figures(run)}


def test_a_run_without_distortions_has_no_such_section(make_run, tmp_path, monkeypatch):
    run = make_run(tmp_path / "plain", epochs=(10,), trainings=("normal",), trusted=False)
    assert "#distortion" not in page_of(run)
    assert distortion_figures(run, monkeypatch) == set()


def test_a_sheet_that_is_gone_is_left_out(run, tmp_path, monkeypatch):
    run = RunFolder(shutil.copytree(run.path, tmp_path / "run"))
    expected = {f"distortion-{kind}-{name}-s3" for kind in ("sheet", "layers") for name in LEVELS}
    assert distortion_figures(run, monkeypatch) == {"distortion-s3", *expected}
    for path in (run.path / "examples").glob("*-shuffling*"):
        path.unlink()
    kinds = distortion_figures(run, monkeypatch)
    assert kinds == {"distortion-s3", *expected} - {"distortion-sheet-shuffling-s3"}


def test_the_terminal_shows_accuracy_at_every_level(run):
    console = Console(width=120)
    with console.capture() as capture:
        console.print(distortion_table(distorted(run.performance())))
    lines = [line.split() for line in capture.get().splitlines()]
    shuffled = next(place for place, line in enumerate(lines) if line[:1] == ["shuffling"])
    assert lines[shuffled] == ["shuffling", "1", "original", "90.00", "%", "90.00", "%"]
    assert lines[shuffled + 1] == ["adversarial", "50.00", "%", "50.00", "%"]
    assert lines[shuffled + 6] == ["7", "original", "78.00", "%", "60.00", "%"]
    assert lines[shuffled + 7] == ["adversarial", "38.00", "%", "20.00", "%"]
    assert ["high-pass", "∞"] in [line[:2] for line in lines]
