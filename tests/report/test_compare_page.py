import json
import math
import re

import pytest

from infoplane.commands.cli import main
from infoplane.findings.compared_runs import Level, Place, Reading
from infoplane.report.compare_figures import Mark, profile_svg
from infoplane.report.compare_files import comparison_json, write_comparison
from infoplane.report.compare_page import compare_html, summary_lines
from infoplane.report.compare_panels import profile_panels
from infoplane.report.compare_source import ComparedRuns, measured_examples

HOSTILE = "<b>x</b>&\"'<img src=x onerror=alert(1)>ü"
NAME = "run <i>&\"'é"


@pytest.fixture(scope="module")
def folders(make_run, tmp_path_factory):
    """Two small runs with other settings, and one with other layers, methods and names that are hard to print."""
    folder = tmp_path_factory.mktemp("compared")
    small = {"epochs": (0, 4), "layers": ("conv1", "fc1")}
    make_run(folder / "a", **small)
    make_run(folder / "b", **small, seed=8, recipe="other")
    make_run(folder / NAME, epochs=(0, 4), layers=(HOSTILE, "x" * 300, "fc"), trainings=("normal", "trades"))
    return folder


@pytest.fixture(scope="module")
def compared(folders):
    return ComparedRuns([folders / name for name in ("a", "b", NAME)])


@pytest.fixture(scope="module")
def page(compared):
    return compare_html(compared)


def test_the_page_is_small_and_asks_for_nothing(page):
    assert len(page.encode()) < 500_000
    assert "default-src 'none'" in page
    assert not re.search(r'(?:src|href)="(?!#)', page)


def test_settings_that_differ_are_shown_and_common_ones_are_folded(page):
    shown, _, folded = page.partition('id="settings"')[2].partition("</section>")[0].partition("<details>")
    assert '<th scope="row">recipe</th><td>synthetic</td><td>other</td><td>synthetic</td>' in shown
    assert "training.epochs" not in shown
    assert "training.epochs" in folded


def test_names_stay_text(page):
    assert "<img" not in page
    assert "<b>x" not in page
    assert "&lt;b&gt;x&lt;/b&gt;&amp;&quot;&#x27;" in page
    assert "run &lt;i&gt;&amp;&quot;&#x27;é" in page


def test_numbers_that_are_not_known_are_not_printed(page):
    assert not re.search(r"\bnan\b|\binf\b|None", page.partition("</style>")[2])


def test_findings_that_change_have_a_section(page):
    assert "Every claim has the same verdict" in page or "Claims with different verdicts" in page


def test_every_run_gets_a_line_that_says_what_differs(compared):
    said = summary_lines(compared)
    assert [line.partition(":")[0] for line in said[:2]] == ["b", NAME]
    assert "none of" in said[0]  # the same formulas
    assert all("about these networks only" in line for line in said[:2])


def test_runs_that_were_measured_at_other_noise_are_called_not_comparable(folders):
    found = ComparedRuns([folders / "a", folders / "b"])
    others = [one._replace(note="other noise") for one in found.comparison.differences]
    found.comparison = found.comparison._replace(differences=others)
    assert summary_lines(found)[0] == "b: not comparable with a: other noise"


def test_the_largest_clear_difference_is_said_in_words(make_run, tmp_path):
    few = {"epochs": (4,), "layers": ("conv1", "fc1")}
    folders = [make_run(tmp_path / name, trainings=(name,), **few).path for name in ("normal", "adversarial")]
    (said,) = [line for line in summary_lines(ComparedRuns(folders)) if line.startswith("adversarial:")]
    assert re.search(r"\d+ of \d+ differences (is|are) clear; the largest: I\(T;Y\), decoded lower bound", said)
    assert re.search(r"at (conv1|fc1) after normal training \(epoch 4\) is \d\.\d\d bits higher \(95 %: ", said)


def test_the_numbers_are_in_json(compared):
    found = json.loads(comparison_json(compared))
    assert [run["name"] for run in found["runs"]] == ["a", "b", NAME]
    assert found["settings"]["seed"] == ["3", "8", "3"]
    own = [one for one in found["differences"] if one["run"] == "b"]
    assert {one["layer"] for one in own} == {"conv1", "fc1"}
    assert {one["epoch"] for one in own} == {4}
    assert max(abs(one["difference_nats"]) for one in own) == 0
    trades = [one for one in found["values"] if one["run"] == NAME and one["training"] == "adversarial"]
    assert {one["layer_of_run"] for one in trades} == {HOSTILE, "x" * 300}


def test_layers_of_another_model_are_matched_with_a_note(compared, page):
    assert any("matched by position" in note for note in compared.comparison.notes)
    assert "matched by position" in page


def test_runs_with_the_same_name_are_told_apart_by_their_folders(folders, make_run):
    for name in ("one", "two"):
        make_run(folders / name / "run", epochs=(0,), layers=("fc",), trainings=("normal",))
    found = ComparedRuns([folders / "one" / "run", folders / "two" / "run"])
    assert [run.name for run in found.runs] == ["one/run", "two/run"]
    assert len(compare_html(found)) > 1000


def test_the_command_writes_page_and_numbers_and_says_where(folders, capsys):
    output = folders / "output"
    assert main(["compare", str(folders / "a"), str(folders / "b"), "--output", str(output)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(output / "comparison.html")
    assert sorted(path.name for path in output.iterdir()) == ["comparison.html", "comparison.json"]
    assert main(["compare", str(folders / "a"), str(folders / "b"), "--json"]) == 0
    assert capsys.readouterr().out == (output / "comparison.json").read_text()


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (["a"], ["at least two runs"]),
        (["a", "./a"], ["is given twice"]),
        (["a", "nowhere"], ["nowhere is no run folder"]),
        (["a", "empty"], ["empty holds no measurements", "'flow'"]),
        (["a", "binned"], ["no quantity was measured by the same estimator", "binned: I(X;T) by binning"]),
        (["a", "others"], ["no training, epoch and layer in common"]),
    ],
)
def test_runs_that_cannot_be_compared_are_one_clear_line(runs, words, folders, make_run, monkeypatch, capsys):
    monkeypatch.chdir(folders)
    few = {"layers": ("conv1",), "trusted": False}
    if "empty" in runs:
        make_run(folders / "empty", epochs=())
    if "binned" in runs:
        make_run(folders / "binned", epochs=(0,), estimators=("binning",), **few)
        make_run(folders / "a2", epochs=(0,), estimators=("kde-bd",), **few)
        runs = ["a2", "binned"]
    if "others" in runs:
        make_run(folders / "others", epochs=(9,))
    assert main(["compare", *runs]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(word in line for word in words), line


def test_a_comparison_is_not_written_into_a_run(folders, compared):
    with pytest.raises(Exception, match="holds a run of its own; choose another folder with --output"):
        write_comparison(compared, folders / "a")


def test_runs_measured_the_same_examples_if_images_draw_and_number_are_the_same():
    def config(**changes):
        facts = {"sha": "1", "seed": 0, "examples": 300} | changes
        data, measurement = {"seed": facts["seed"]}, {"examples": facts["examples"]}
        kept = {"test_sha256": facts["sha"]} if facts["sha"] else {}
        return {"settings": {"data": data, "measurement": measurement}, "environment": {"data": kept}}

    assert measured_examples(config()) == measured_examples(config())
    others = [config(sha="2"), config(seed=1), config(examples=200)]
    assert len({measured_examples(one) for one in (config(), *others)}) == 4
    assert measured_examples(config(sha=None)) is None
    assert measured_examples({}) is None


def test_loops_of_ones_own_measured_the_same_examples_if_these_images_are_the_same():
    def config(**changes):
        data = {"images_sha256": "1", "labels_sha256": "2"}
        return {"settings": {"data": data, "examples_seed": 0, **changes}, "environment": {}}

    assert measured_examples(config()) == measured_examples(config())
    assert measured_examples(config(examples_seed=1)) != measured_examples(config())


def test_the_studys_claims_are_left_out_on_data_of_ones_own(make_run, tmp_path):
    folders = []
    for name in ("a", "b"):
        run = make_run(tmp_path / name, epochs=(0,), layers=("fc",), trainings=("normal",), trusted=False)
        run.write_config("flow", {"loop": {}, "data": {"name": "mine"}}, {})
        folders.append(run.path)
    assert 'id="claims"' not in compare_html(ComparedRuns(folders))


def test_figures_of_many_layers_and_strange_numbers_can_be_drawn():
    layers = [f"block{number}.conv" for number in range(300)]
    nothing, far = float("nan"), float("inf")
    curves = [[Mark(number, 1.0, nothing, far, "one") for number in range(300)], []]
    svg = profile_svg("label", layers, curves, unit="bits", zero=True)
    assert svg.count("<text") < 40
    assert "nan" not in svg
    assert "inf" not in svg.replace("info", "")
    assert profile_svg("label", [], [[]], unit="bits", zero=False).startswith("<svg")


def test_equal_values_are_not_spread_over_an_axis_of_rounding():
    marks = [Mark(0, 2.0, 2.0, 2.0, "one"), Mark(1, 2.0 + 1e-12, 2.0 + 1e-12, 2.0 + 1e-12, "two")]
    drawn = profile_svg("label", ["a", "b"], [marks], unit="bits", zero=False)
    first, second = (float(y) for y in re.findall(r'cy="([0-9.]+)"', drawn))
    assert first == second


def test_an_interval_that_passes_the_ceiling_is_drawn_up_to_it_and_said():
    place = Place("normal", "original", (0, "fc"), Reading("I(T;Y)", "decoded"))
    nats = math.log(2)
    facts = {"seeds": (0,), "layer": "fc", "saturated": False, "null_like": False}
    one = Level("run", place, 3, 2.9 * nats, 2.5 * nats, 3.4 * nats, ceiling=3 * nats, **facts)
    panel = profile_panels(["run"], {("run", place): one})
    assert "2.90 (2.50 to 3.40), drawn up to the ceiling 3.00" in panel
    free = profile_panels(["run"], {("run", place): one._replace(ceiling=math.inf)})
    assert "drawn up to" not in free
    for text, top in ((panel, 3.0), (free, 3.4)):
        low, high = (float(y) for y in re.search(r'class="bar".*?y1="([0-9.]+)" y2="([0-9.]+)"', text).groups())
        height = float(re.search(r'class="point" cx="[0-9.]+" cy="([0-9.]+)"', text)[1])
        assert (low - height) / (low - high) == pytest.approx((2.9 - 2.5) / (top - 2.5), abs=0.01)
