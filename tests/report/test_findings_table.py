"""What was found about the claims, in words and numbers: in the terminal, in the page, as JSON."""

import json
import math
import re

import pytest
from rich.console import Console
from tests.findings.constructed import flow

from infoplane.errors import UserError
from infoplane.findings import CLAIMS, ClaimVerdict, Finding, Findings, Number, find
from infoplane.findings.finding import NEEDS_SEEDS
from infoplane.records.sweeps import SweepMeasurement, sweep_table
from infoplane.records.tables import performance_table
from infoplane.report.findings_table import findings_html, findings_json, findings_table
from infoplane.report.html import write_report
from infoplane.runs.folder import RunFolder

NASTY = "<b>&"


def finding(**facts):
    plain = {
        "claim": "2", "part": "final I(T;Y)", "statement": "normal ends with more", "statistic": "final level",
        "layer": "fc", "estimator": "kde-bd@relative", "quantity": "I(X;T)", "value": math.log(2), "low": 0.0,
        "high": 2 * math.log(2), "unit": "nats", "seeds": 3, "verdict": "supported", "reason": "it lies above 0",
        "numbers": (Number("normal, epoch 3", 2 * math.log(2), "nats"), Number("curves", 6.0)),
    }  # fmt: skip
    return Finding(**{**plain, **facts})


def claim(number, verdict="undecided", reason="nothing", rests_on=()):
    (own,) = [one for one in CLAIMS if one.number == number]
    return ClaimVerdict(number, own.name, own.text, verdict, reason, rests_on)


def rows(page, caption):
    table = page[page.index(f"<caption>{caption}</caption>") :]
    lines = re.findall(r"<tr.*?</tr>", table[: table.index("</table>")], re.DOTALL)
    return [[re.sub("<.*?>", "", cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", line)] for line in lines]


def card(page):
    """The number that decides the first claim, and why."""
    return [re.sub("<.*?>", "", text) for text in re.findall(r"<dd>(.*?)</dd>", page)][:2]


def test_the_page_gives_bits_with_interval_reason_and_what_it_rests_on():
    page = findings_html(Findings([claim("2", "supported", "every part", ("final I(T;Y)",))], [finding()]))
    assert card(page) == ["1.000 bits [0.000, 2.000] final I(T;Y): final level", "every part"]
    assert f'2 adversarial lags <span class="verdict supported">supported</span></h3><p>{CLAIMS[1].text}</p>' in page
    head, row, below = rows(page, "Claim 2: what the verdict rests on")
    assert dict(zip(head, row, strict=True)) == {
        "Verdict": "supported",
        "If the claim held": "normal ends with more",
        "Measured as": "final level; KDE (BD), relative noise",
        "Layer": "fc",
        "Value": "1.000 bits",
        "95 % interval": "0.000 to 2.000 bits",
        "Seeds": "3",
        "Why": "it lies above 0",
    }
    assert below == ["", "Rests on normal, epoch 3: 2.000 bits; curves: 6"]


@pytest.mark.parametrize(
    ("facts", "value", "interval"),
    [
        ({"value": 2.0, "low": 1.0, "high": 3.5, "unit": "epochs"}, "2 epochs", "1 to 3.500 epochs"),
        ({"value": 0.25, "low": -math.inf, "high": math.inf, "unit": ""}, "0.250", "unknown"),
        ({"value": None, "low": None, "high": None}, "-", "-"),
        ({"value": -0.0001, "low": -0.5, "high": 0.5, "unit": ""}, "0.000", "-0.500 to 0.500"),
    ],
)
def test_units_are_kept_and_only_information_becomes_bits(facts, value, interval):
    page = findings_html(Findings([claim("2")], [finding(**facts)]))
    assert rows(page, "Claim 2: what the verdict rests on")[1][4:6] == [value, interval]


def test_findings_that_decide_nothing_are_folded_away_and_counted():
    others = [
        finding(part="", estimator="kde-kl", verdict=verdict) for verdict in ("supported", "supported", "undecided")
    ]
    page = findings_html(Findings([claim("2")], [*others, finding(part="", layer="conv"), finding()]))
    counts = rows(page, "Claim 2, counted")
    assert ["final level", "I(X;T)", "KDE (KL)", "2", "0", "1"] in counts
    assert [
        row[3] for row in rows(page, "Claim 2, means over layers by every estimator, layers by the primary ones")[1::2]
    ] == ["conv"]
    assert page.index("what the verdict rests on") < page.index('<details class="more"') < page.index("counted")


LONG = "missing: measured at fewer than 4 epochs: conv1, conv2, fc1"


def test_the_reasons_of_many_undecided_parts_are_counted():
    undecided = {"verdict": "undecided", "value": None, "low": None, "high": None}
    lone = "one seed: nothing to compare; and more"
    parts = [
        *(finding(part=f"trend {number}", reason=lone, **undecided) for number in range(4)),
        *(finding(part=f"level {number}", reason=LONG, **undecided) for number in range(3)),
        finding(part="lag", verdict="supported"),
    ]  # fmt: skip
    found = Findings([claim("2", reason="eleven lines")], parts)
    assert card(findings_html(found))[1] == (
        "8 parts: 4 undecided (one seed: nothing to compare), 3 undecided (missing: measured at fewer than 4 epochs), "
        "1 supported"
    )
    alone = Findings([claim("2", reason=f"{NEEDS_SEEDS} (accuracy)")], parts)
    assert card(findings_html(alone))[1] == NEEDS_SEEDS.replace("`", "")
    few = Findings([claim("2", reason="few parts")], parts[3:5])
    assert card(findings_html(few))[1] == "few parts"
    decided = Findings([claim("2", "contradicted", "it says why")], parts)
    assert card(findings_html(decided))[1] == "it says why"


def test_names_are_escaped():
    one = finding(layer=NASTY, statement=NASTY, estimator=NASTY, reason=NASTY, numbers=(Number(NASTY, 1.0),))
    assert NASTY not in findings_html(Findings([claim("2", reason=NASTY)], [one, finding(part="", layer=NASTY)]))


def test_what_stands_between_backticks_is_code_on_the_page():
    found = Findings([claim("2", reason="add `--seeds <3>`")], [])
    assert 'add <code style="white-space: nowrap">--seeds &lt;3&gt;</code></dd>' in findings_html(found)


def test_the_json_holds_nats_and_no_number_that_is_none():
    text = findings_json(Findings([claim("2")], [finding(low=-math.inf, high=math.nan)]))
    content = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert content["unit"] == "nats"
    assert content["claims"][0] == {
        "claim": "2", "name": "adversarial lags", "statement": CLAIMS[1].text,
        "verdict": "undecided", "reason": "nothing", "rests_on": [],
    }  # fmt: skip
    (one,) = content["findings"]
    assert (one["value"], one["low"], one["high"]) == (math.log(2), None, None)
    assert one["numbers"][0] == {"name": "normal, epoch 3", "value": 2 * math.log(2), "unit": "nats"}
    assert (one["layer"], one["verdict"], one["part"]) == ("fc", "supported", "final I(T;Y)")


def printed(found, width):
    console = Console(width=width)
    with console.capture() as captured:
        console.print(findings_table(found))
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_shows_every_claim_on_one_line_with_its_verdict(width):
    found = find(flow(lambda *, epoch, **_: 0.2 * epoch, epochs=(0, 1, 2)), performance_table([]))
    lines = printed(found, width)
    assert max(map(len, lines)) <= width
    told = [line for line in lines if re.match(r"[1-6][ab]? [a-z ]+  (supported|contradicted|undecided) ", line)]
    assert [line.split()[0] for line in told] == ["1", "2", "3a", "3b", "4", "5", "6"]
    assert any("missing" in line for line in told)
    assert all(line.endswith("…") for line in told if len(line) == width)  # cut, and it shows
    assert len(lines) <= 7 + 6  # claims; title, head, caption


def test_the_number_in_the_terminal_is_one_that_decides_the_verdict():
    parts = [
        finding(part="lag", value=2.0, low=1.0, high=3.5, unit="epochs", statistic="lag"),
        finding(part="final I(X;T)", verdict="contradicted", value=-math.log(2), low=-2 * math.log(2), high=0.0),
        finding(part="final I(T;Y)", verdict="contradicted"),
    ]

    def told(verdict, rests_on, reason="why"):
        found = Findings([claim("2", verdict, reason, rests_on)], parts)
        (line,) = [one for one in printed(found, 160) if one.startswith("2")]
        return line.split("  ")[-1].strip(), card(findings_html(found))[0]

    assert told("contradicted", ("final I(T;Y)",)) == ("1.000 bits [0.000, 2.000] final I(T;Y): final level",) * 2
    assert told("supported", ("lag",)) == ("2 epochs [1, 3.500] lag",) * 2


def test_an_undecided_verdict_stands_beside_the_undecided_number_and_never_beside_a_decided_one():
    """The terminal once said "undecided 1.991 [1.795, 2.187]", the number of a part that was supported."""
    decided = finding(part="wrong class", value=1.991 * math.log(2), low=1.795 * math.log(2), high=2.187 * math.log(2))
    spanning = {"value": math.log(2), "low": -math.log(2), "high": 3 * math.log(2)}
    open_one = finding(part="gain", verdict="undecided", reason="the interval spans 0; more", **spanning)
    missing = finding(part="gain", verdict="undecided", reason="missing: it", value=None, low=None, high=None)

    def told(parts, reason):
        found = Findings([claim("2", "undecided", reason, ("gain",))], parts)
        (line,) = [one for one in printed(found, 160) if one.startswith("2")]
        return line.split("  ")[-1].strip(), card(findings_html(found))[0]

    number = "1.000 bits [-1.000, 3.000] gain: final level"
    assert told([decided, open_one], "the interval spans 0 (gain)") == (f"{number}: the interval spans 0", number)
    assert told([decided, missing], "missing: it (gain)") == ("missing: it (gain)", "-")
    # a part that is decided for these networks, and not for others for want of seeds
    lone = finding(part="gain", verdict="supported", seeds=1)
    assert told([decided, lone], "needs at least two seeds (gain)") == ("needs at least two seeds (gain)", "-")


def test_a_report_writes_the_findings_beside_the_page(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])  # seconds of drawing
    run = make_run(tmp_path / "run", epochs=(0, 1), layers=("fc",))
    text = write_report(run).read_text()
    content = json.loads((run.path / "findings.json").read_text())
    assert [one["claim"] for one in content["claims"]] == [claim.number for claim in CLAIMS]
    for one in content["claims"]:
        head = f'{one["claim"]} {one["name"]} <span class="verdict {one["verdict"]}">'
        assert head in text


def test_sweeps_in_the_folder_of_a_run_decide_the_claim_about_geometry(make_run, tmp_path, monkeypatch):
    monkeypatch.setattr("infoplane.report.html.write_figures", lambda *_, **__: [])
    run = make_run(tmp_path / "run", epochs=(0, 1), layers=("fc",))
    rows = [
        SweepMeasurement(
            sweep=sweep, x=x, replicate=replicate, estimator="noisy", kind="estimate", quantity=quantity, samples=9,
            value_nats=sign * x + 0.01 * replicate, features=2, classes=3,
        )
        for (sweep, quantity), sign in {
            ("spread", "I(X;T)"): 1, ("tightness", "I(T;Y)"): 1, ("noise-variance", "I(X;T)"): -1,
            ("bin-width", "I(X;T)"): -1,
        }.items()
        for x in (1.0, 2.0, 3.0)
        for replicate in range(3)
    ]  # fmt: skip
    RunFolder(run.path / "sweeps").write_table(run.path / "sweeps" / "records.parquet", sweep_table(rows))
    write_report(run)
    (claim,) = [one for one in json.loads((run.path / "findings.json").read_text())["claims"] if one["claim"] == "6"]
    assert claim["verdict"] == "supported"
    (run.path / "sweeps" / "records.parquet").write_bytes(b"torn")
    with pytest.raises(UserError, match=r"sweeps/records.parquet was changed .* delete it and run"):
        write_report(run)


@pytest.mark.parametrize("facts", [{"trainings": ("normal",)}, {"examples": ("original",)}, {"trusted": False}])
def test_a_run_with_parts_missing_still_gets_its_findings(make_run, tmp_path, facts):
    run = make_run(tmp_path / "run", epochs=(0,), layers=("fc",), **facts)
    found = find(run.measurements(), run.performance())
    assert {one.verdict for one in found.claims} == {"undecided"}
    assert "missing" in findings_html(found)
