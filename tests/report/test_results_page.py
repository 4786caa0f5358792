"""Pages of results: each number is that of the records."""

import json
import math
import re
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text
from tests.findings import constructed
from tests.report.test_evaluation_report import network
from tests.report.test_findings_table import claim, finding
from tests.team.test_flow_together import run_of

from infoplane.findings import Findings, Number, find
from infoplane.findings.registration import Claims, Registration
from infoplane.findings.rules import rules_hash
from infoplane.recipes import RECIPES
from infoplane.records.evaluation import EVALUATION, EVALUATION_FILE, Evaluation
from infoplane.records.tables import DECODED, performance_table
from infoplane.report.bits import in_bits
from infoplane.report.conclusions import conclusion
from infoplane.report.html import run_findings
from infoplane.runs import RunFolder

with pytest.MonkeyPatch.context() as _with_scripts:
    _with_scripts.syspath_prepend(Path(__file__).parents[2] / "docs")
    import make_results
    from make_results_summary import BEGIN, END, tables, with_tables
    from results_page import claims as claims_of_pages
    from results_page import run_facts
    from results_page.claims import parts_of
    from results_page.curves import shown
    from results_page.information import cell, permuted
    from results_page.markdown import from_terminal
    from results_page.run_facts import commands, flow, folded
    from results_page.summary import summary

ENVIRONMENT = {"infoplane": "0.1.0", "torch": "2.13.0", "threads": 1, "data": {"train": 899, "test": 898}}


def settings(**changed):
    return RECIPES["digits-lenet5"].config.model_dump(mode="json") | changed


@pytest.fixture(scope="module")
def run(full_run):
    (full_run.path / "log.jsonl").write_text(
        "".join(
            json.dumps({"event": "measured", "time": f"2026-11-{day}T10:00:00+0000", "seconds": 90.0}) + "\n"
            for day in (28, 29)
        )
    )
    return full_run


@pytest.fixture(scope="module")
def text(run) -> str:
    return page_of(run, {"settings": settings(), "environment": ENVIRONMENT}, ["mistakes"])


def page_of(run, config, figures=(), other=None) -> str:
    found, trained = run_findings(run), claims_of_pages.findings_without_random(run, config)
    own = summary(run, config, found, trained, make_results.title(run, config), "two cores")
    return make_results.page(run, config, found, trained, own, "name", "two cores", [*figures], other)


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def table_after(text: str, words: str) -> list[list[str]]:
    """Return the first table behind some words, without its line of dashes."""
    lines = text[text.index(words) :].splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("| "))
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            break
        rows.append(cells_of(line))
    return [rows[0], *rows[2:]]


def test_the_page_says_what_the_run_was(text):
    facts = dict(table_after(text, "infoplane flow digits-lenet5")[1:])
    assert facts["machine"] == "two cores; 1 thread"
    assert facts["date"] == "2026-11-28 to 2026-11-29"
    assert facts["time of the measurements"] == "3 min, summed over processes"
    assert "\n\n![mistakes](name/mistakes.svg)\n\nOf the adversarial examples that the network misclassifies:" in text
    assert make_results.figure("a.b", "name") == "![a.b](name/a.b.svg)"


def test_decoded_information_is_that_of_the_records(run, text):
    head, *rows, nulls = table_after(text, "**I(T;Y), Decoded lower bound.**")
    records = in_bits(run.measurements()).filter(pl.col("class_index").is_null(), estimator=DECODED)
    last = records.filter(pl.col("epoch") == pl.col("epoch").max())
    assert len(rows) == len(last.select("training", "examples").unique()) > 1
    for training, examples, *cells in rows:
        for layer, cell in zip(head[2:], cells, strict=True):
            (value,) = last.filter(training=training, examples=examples, layer=layer)["value_bits"]
            assert float(re.match(r"-?[\d.]+", cell)[0]) == pytest.approx(value, abs=0.0051)
    assert nulls[:2] == ["permuted labels", "largest null"]
    for layer, cell in zip(head[2:], nulls[2:], strict=True):
        assert float(cell) == pytest.approx(last.filter(layer=layer)["null_bits"].max(), abs=0.0051)


def test_curves_are_those_of_the_records(run, text):
    head, *rows = table_after(text, "**I(T;Y), Decoded lower bound, original examples.**")
    records = in_bits(run.measurements()).filter(
        pl.col("class_index").is_null(), pl.col("layer_index") >= 0, estimator=DECODED, examples="original"
    )
    assert head == ["training", "layer", *(str(epoch) for epoch in records["epoch"].unique().sort())]
    assert len(rows) == len(records.select("training", "layer").unique()) > 1
    for training, layer, *cells in rows:
        own = records.filter(training=training, layer=layer).sort("epoch")
        assert [float(cell) for cell in cells] == pytest.approx(own["value_bits"].to_list(), abs=0.0051)


def test_of_many_epochs_more_are_shown_at_the_start():
    assert shown(range(6)) == [0, 1, 2, 3, 4, 5]
    found = shown(range(201))
    assert found[:3] == [0, 1, 2]
    assert found[-1] == 200
    assert len(found) == 10
    assert shown([0, 50, *range(100, 120)])[:2] == [0, 50]


def test_marks_are_those_of_the_records(run, text):
    assert all(MARK in text for MARK in ("every layer is saturated", "†"))
    head, *rows, _ = table_after(text, "**I(T;Y), Decoded lower bound.**")
    last = in_bits(run.measurements()).filter(pl.col("epoch") == pl.col("epoch").max(), estimator=DECODED)
    for training, examples, *cells in rows:
        for layer, cell in zip(head[2:], cells, strict=True):
            (row,) = last.filter(
                pl.col("class_index").is_null(), training=training, examples=examples, layer=layer
            ).to_dicts()
            assert ("†" in cell, "≤" in cell) == (row["undersampled"], row["null_like"])


def test_verdicts_are_those_of_the_findings(run, text):
    _, *rows = table_after(text, "## The claims")
    assert [(row[0], row[2]) for row in rows] == [
        (f"{one.claim} {one.name}", f"**{one.verdict}**") for one in run_findings(run).claims
    ]


def test_each_claim_has_a_section_with_its_parts(run, text):
    found = run_findings(run)
    for verdict in found.claims:
        head = f"### {verdict.claim} {verdict.name}: {verdict.verdict}\n"
        if head not in text:  # nothing of it was measured
            assert verdict.verdict == "undecided"
            assert all(one.value is None for one in found.about(verdict.claim) if one.part)
            listed = text[text.index("### Claims of which nothing was measured") :]
            assert f"- {verdict.claim} {verdict.name}: " in listed
            continue
        section = text[text.index(head) + len(head) :].partition("\n#")[0]
        assert conclusion(verdict, found)[0] in " ".join(section.split())
        _, *rows = table_after(section, "| what the claim predicts")
        parts = [one for one in found.about(verdict.claim) if one.part]
        decides = [row for row in rows if row[2].startswith("**")]
        assert [row[4] for row in decides] == [one.verdict for one in parts]
        shown = [row[3] for row in decides]
        assert [one == "-" for one in shown] == [part.value is None for part in parts]


LIKE = finding(
    claim="4", estimator="kde-bd@relative", quantity="I(X;T)", statement="shuffling hurts", statistic="slope"
)


def test_below_a_part_stand_the_other_estimators_of_the_same():
    other = replace(LIKE, part="", estimator="kde-kl@relative", value=None, reason="saturated: fc, conv1; at epoch 3")
    elsewhere = replace(other, layer="conv1", value=3.0)
    noisy = replace(
        other, estimator="noisy", value=2.0, verdict="undecided", reason="it spans 0; one seed; rests on fc"
    )
    accuracy = replace(
        LIKE, part="accuracy", estimator="", layer="", quantity="accuracy", reason="it lies above 0; rests on one"
    )
    more = replace(accuracy, part="levels", statistic="levels")
    lines, common = parts_of(claim("4"), Findings([], [LIKE, other, elsewhere, noisy, accuracy, more]))
    assert [line[:3] for line in lines] == [
        ["shuffling hurts", "slope, of I(X;T), in fc", "**KDE (BD), relative noise**"],
        ["", "", "Monte Carlo"],
        ["", "", "KDE (KL), relative noise"],
        ["", "slope, of accuracy", "**accuracy**"],
        ["", "levels, of accuracy", "**accuracy**"],
    ]
    assert lines[0][3:] == ["1.000 bits [0.000, 2.000]", "supported", "", "normal, epoch 3 2.000 bits, curves 6"]
    assert lines[1][3:] == ["2.885 bits [0.000, 2.000]", "undecided", "it spans 0; rests on fc", ""]
    assert lines[2][3:] == ["-", "undecided", "saturated", ""]
    assert lines[3][5] == "rests on one"
    assert common == ["it lies above 0"]


def test_what_was_measured_beside_a_single_part_is_shown():
    one_noise = [Number(f"{end} over the noise range", 1.0, "nats") for end in ("lowest", "highest")]
    over = [Number(f"{end} over the noise range", value, "nats") for end, value in (("lowest", 0.0), ("highest", 1.0))]
    part = replace(
        LIKE, claim="3b", statement="I(X;T) does not always fall", layer="all layers",
        numbers=(Number("fc2 - fc1", 0.5, "nats"), *over, Number("fc3 - fc2", 0.5, "nats"), *one_noise),
    )  # fmt: skip
    label = replace(part, part="", statement="I(T;Y) does not always fall", estimator="decoded", quantity="I(T;Y)")
    one_layer, unknown = replace(label, layer="conv1"), replace(label, statement="nothing", value=None)
    lines, _ = parts_of(claim("3b"), Findings([], [part, label, one_layer, unknown]))
    assert [line[0] for line in lines] == ["I(X;T) does not always fall", "I(T;Y) does not always fall"]
    assert lines[0][6] == (
        "fc2 - fc1 0.721 bits (0.000 bits to 1.443 bits over the noise range), fc3 - fc2 0.721 bits (1.443 bits at "
        "another noise)"
    )
    unknown = replace(LIKE, layer="last but one", quantity="I(T;mistaken)")
    assert parts_of(claim("4"), Findings([], [unknown]))[0][0][1] == "slope, in the last layer but one"


def test_verdicts_that_rest_on_the_random_network_are_named():
    """I(X;T) falls from epoch 0 to 1 alone, and rises from then on."""

    def rule(*, epoch, quantity, **_):
        return 3.0 if quantity == "I(X;T)" and epoch == 0 else 1.0 + 0.5 * (1 - math.exp(-epoch / 20))

    class Recorded:
        def __init__(self, epochs):
            self.measurements = lambda: constructed.flow(rule, seeds=(0, 1, 2), epochs=epochs)
            self.performance = lambda: performance_table([])

    def without(epochs):
        run = Recorded(epochs)
        found = find(run.measurements(), run.performance())
        trained = claims_of_pages.findings_without_random(run, {"settings": settings()})
        return list(claims_of_pages.without_random(found, trained)) if trained else []

    epochs = [0, 1, 2, 3, 4, 6, 8, 12, 18, 28, 45, 70]
    head, _, written = without(epochs)
    assert head == "### Without epoch 0"
    _, *rows = table_after(written, "| claim")
    fall = next(row for row in rows if row[:2] == ["3a", "mean fall"])
    assert fall[2].startswith("contradicted: ")
    assert fall[3].startswith("supported: ")
    assert not without(epochs[1:])


def test_the_command_has_what_differs_from_the_recipe():
    training = settings()["training"] | {"epochs": 7, "milestones": [2, 5]}
    words = flow(settings(seeds=3, training=training))
    assert " ".join(words) == (
        "infoplane flow digits-lenet5 --seeds 3 --training.epochs 7 --training.milestones 2 5 --run RUN"
    )
    assert list(folded(["a" * 50, "b" * 30, "c" * 30])) == [f"{'a' * 50} {'b' * 30} \\", f"    {'c' * 30}"]


def test_two_values_of_one_seed_are_refused(full_run):
    rows = in_bits(full_run.measurements()).filter(pl.col("class_index").is_null())
    one = rows.filter(estimator=DECODED, training="normal", examples="original", epoch=10, layer_index=1)
    assert len(one) == 1
    with pytest.raises(ValueError, match="more than one value for a seed"):
        cell(pl.concat([one, one]))


def test_several_seeds_give_mean_and_deviation(full_run):
    rows = in_bits(full_run.measurements()).filter(pl.col("class_index").is_null())
    one = rows.filter(estimator=DECODED, training="normal", examples="original", epoch=10, layer_index=1)
    two = pl.concat(
        [
            one.with_columns(value_bits=pl.lit(1.0), undersampled=False, null_like=False, saturated=False),
            one.with_columns(
                value_bits=pl.lit(2.0), undersampled=True, null_like=False, saturated=False,
                seed=pl.lit(1).cast(one.schema["seed"]),
            ),
        ]
    )  # fmt: skip
    assert cell(two) == "1.50 (0.71)†"


def test_what_a_command_prints_becomes_markdown():
    shown = Table(title=Text("\nnormal: 3 images"), caption="one outside\nthe ball")
    shown.add_column("attack")
    shown.add_column(Text("accuracy"))
    shown.add_row("pgd", Text("4.1 %", style="bold"))
    shown.add_section()
    shown.add_row("a|b", "")
    assert list(from_terminal(Group(shown, Text("\n- an answer"), Text("")))) == [
        "**normal: 3 images**",
        "| attack | accuracy |\n| --- | --- |\n| pgd | 4.1 % |\n| a\\|b |  |",
        "one outside the ball",
        "- an answer",
    ]


def test_what_other_commands_left_in_the_folder_is_on_the_page(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    copy, training = RunFolder(tmp_path / "run"), settings()["training"] | {"epochs": 10}
    config = {"settings": settings(training=training), "environment": ENVIRONMENT}
    learns = {"name": "it learns", "quantity": "accuracy", "above": 0.2, "of": {"training": "normal"}}
    seed = run.measurements()["seed"][0]
    registration = Registration(
        claims=Claims.model_validate({"title": "of accuracy", "seeds": [seed], "claims": [learns]}),
        rules=rules_hash(),
        infoplane="0.1.0",
        registered_at="2026-11-28T09:00:00+0000",
    )
    evaluation = Evaluation(
        subject="digits", suite="quick", norm="linf", epsilon=0.1, examples=100, weights_file=None,
        weights_file_sha256=None, interval="95 %, Wilson (1927)", curve_attack="PGD", left_out=[],
        networks=[network("normal", "gradients are masked")],
    )  # fmt: skip
    evaluated = RunFolder(copy.path / EVALUATION)
    with copy.locked(), evaluated.locked():
        copy.write_file(copy.path / "registered.json", registration.model_dump_json().encode())
        evaluated.write_file(evaluated.path / EVALUATION_FILE, evaluation.model_dump_json().encode())
    text = page_of(copy, config)
    _, (name, outcome, value, threshold) = table_after(text, "## Claims registered before the run")
    ends = run.performance().filter(pl.col("distortion").is_null(), training="normal", split="test", epoch=10)
    (accuracy,) = ends.filter(examples="original")["accuracy"]
    assert (name, outcome, threshold) == ("it learns", "confirmed", "above 0.2")
    assert float(value.split()[0]) == pytest.approx(accuracy, abs=5e-4)
    rows = table_after(text, "## Accuracy under many attacks")
    assert [row[2] for row in rows if row[0] == "pgd-20"] == ["40.0 %"]
    assert "ALARM: gradients are masked" in text
    assert "## Where the label is lost" not in text


def test_the_verdicts_of_another_run_stand_beside(run, tmp_path):
    config = {"settings": settings(), "environment": ENVIRONMENT}
    theirs = {"settings": settings(recipe="mnist-lenet5", seeds=3, measure_every=7), "environment": ENVIRONMENT}
    found = run_findings(run)
    other = tmp_path / "mnist.md"
    with pytest.raises(SystemExit, match=r"summary\.json is missing"):
        page_of(run, config, other=other)
    other.with_suffix("").mkdir()
    written = other.with_suffix("") / "summary.json"
    written.write_text(json.dumps(summary(run, theirs, found, None, "The other", "a GPU")))
    text = page_of(run, config, other=other)
    assert "## Beside [The other](mnist.md)" in text
    assert "and 7 there" in " ".join(text.split())
    _, *rows = table_after(text, "## Beside")
    verdicts = {f"{one.claim} {one.name}": one.verdict for one in found.claims}
    assert {row[0]: row[1].split()[0] for row in rows} == verdicts
    assert all(row[1] == row[2] and not row[3] for row in rows)


def test_the_records_beside_the_page_are_those_of_its_last_epoch(run, tmp_path):
    make_results.write_records(run, tmp_path)
    measurements, all_epochs = pl.read_parquet(tmp_path / "measurements.parquet"), run.measurements()
    assert set(measurements["epoch"]) == {all_epochs["epoch"].max()}
    assert measurements.equals(all_epochs.filter(pl.col("epoch") == 10).drop("group_means"))
    assert pl.read_parquet(tmp_path / "performance.parquet").equals(run.performance())


def test_the_commands_are_those_that_have_written_to_the_folder(run, tmp_path):
    config = {"settings": settings(), "environment": ENVIRONMENT}
    assert commands(run, config) == "    infoplane flow digits-lenet5 --run RUN"
    copy = Path(shutil.copytree(run.path, tmp_path / "copy"))
    events = (
        {"event": "distorted", "distortion": "saturation", "levels": [2.0, 8.0]},
        {"event": "distorted", "distortion": "grey", "levels": [0.0, 0.5]},
        {"event": "where", "n": 5000},
        {"event": "where", "n": 50},
        {"event": "attacked", "n": 30, "attacks": ["a", "b"]},
        {"event": "attacked", "path": "mean"},
    )
    with (copy / "log.jsonl").open("a") as log:
        log.writelines(json.dumps({"time": "2026-11-29T11:00:00+0000", **event}) + "\n" for event in events)
    for name in ("sweeps", "limits"):
        (copy / name).mkdir()
        (copy / name / "records.parquet").touch()
    assert commands(RunFolder(copy), config).splitlines()[1:] == [
        "    infoplane distortion RUN --saturation 2 8 --grey 0 0.5",
        "    infoplane geometry --output RUN/sweeps",
        "    infoplane limits --output RUN/limits",
        "    infoplane where RUN",
        "    infoplane where RUN --examples 50",
        "    infoplane attacks RUN --examples 30 --attacks a b",
    ]
    (copy / "log.jsonl").unlink()
    assert run_facts.facts(RunFolder(copy), config, "two cores")["date"] == "-"


def test_the_table_of_all_runs_has_their_verdicts_and_facts(run, tmp_path):
    config = {"settings": settings(), "environment": ENVIRONMENT}
    known = summary(run, config, run_findings(run), None, make_results.title(run, config), "two cores")
    other = deepcopy(known)
    other["without_epoch_0"] = {other["claims"][1]["claim"]: "undecided"}
    other["facts"]["machine"] = "a GPU"
    other["claims"][1] |= {"verdict": "contradicted", "lead": "It does not.", "number": "-.3 [-.4, -.2]"}
    other["claims"][2] |= {"verdict": "supported", "lead": "It does.", "number": "-"}
    other["claims"].append({"claim": "7", "statement": "New.", "verdict": "undecided", "lead": "", "number": "-"})
    other["registered"] = [{"name": "it learns", "outcome": "confirmed"}, {"name": "it lags", "outcome": "refuted"}]
    other["deviated"] = True
    for name, one in (("one", known), ("two", other)):
        (tmp_path / "results" / name).mkdir(parents=True)
        (tmp_path / "results" / name / "summary.json").write_text(json.dumps(one))
    written = tables([tmp_path / "results" / f"{name}.md" for name in ("one", "two")], tmp_path / "page.md")
    title = "digits-lenet5: lenet5 on digits, 10 epochs, 1 seed"
    head, *rows, own = table_after(written, "| what the paper claims")
    assert head == ["what the paper claims", f"[{title}](results/one.md)", f"[{title}](results/two.md)"]
    claims = run_findings(run).claims
    assert [row[0] for row in rows] == [*(f"{one.claim} {one.statement}" for one in claims), "7 New."]
    assert all(one.verdict in row[1] for one, row in zip(claims, rows[:-1], strict=True))
    said = "**contradicted**. It does not. -.3 [-.4, -.2]. Without the random network of epoch 0: undecided."
    assert [row[2] for row in rows[1:3]] == [said, "**supported**. It does."]
    assert rows[-1][1:] == ["-", "undecided"]
    deviated = "1 of 2 confirmed; refuted: it lags; the run deviated from its registration; one seed"
    assert own == ["claims of our own, registered before the run", "none", deviated]
    facts = {row[0]: row[1:] for row in table_after(written, "|  | [")}
    assert facts["machine"] == ["two cores; 1 thread", "a GPU"]
    assert with_tables(f"before {BEGIN} old {END} after", "new") == f"before {BEGIN}\n\nnew\n\n{END} after"
    with pytest.raises(SystemExit, match="expected a line"):
        with_tables("nothing", "new")


def test_a_null_of_few_permutations_is_their_largest_value():
    nulls = {"null_bits": [0.1, 0.25, None], "permutations": [5, 40, None]}
    assert permuted(pl.DataFrame(nulls)) == (
        " Permuted labels: the largest of 5 permutations or the 95 % quantile of 40 permutations is at most 0.25 bits."
    )
    assert permuted(pl.DataFrame(nulls).with_columns(null_bits=pl.lit(None, pl.Float64))) == ""


def test_two_runs_with_one_seed_give_the_same_page(tmp_path):
    pages = []
    for name in ("one", "two"):
        run = run_of(tmp_path / name, "--training.epochs=1", "--deterministic")
        text = page_of(run, run.read_config())
        when = ("| date |", "| time of ", "| hash of the run's files |")  # which name the seconds of each epoch
        pages.append([line for line in text.splitlines() if not line.startswith(when)])
    assert pages[0] == pages[1]
    assert len(pages[0]) > 50
