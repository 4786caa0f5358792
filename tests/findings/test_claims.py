"""The list of claims: what is in it is tested, told and documented, and nothing else."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.findings.constructed import flow
from tests.toys.claim import TOY

from infoplane import findings
from infoplane.findings import CLAIMS, find
from infoplane.records.tables import ADVERSARIAL_TRAINING, NORMAL_TRAINING, performance_table
from infoplane.report.findings_table import findings_html, findings_json, findings_table

DOCS = Path(__file__).parents[2] / "docs"


def test_claims_are_numbered_from_one_and_have_names_that_fit_the_table():
    assert [claim.number for claim in CLAIMS] == ["1", "2", "3a", "3b", "4", "5", "6"]
    assert all(len(claim.name) <= 18 for claim in CLAIMS)
    assert all(set(claim.trainings) <= {NORMAL_TRAINING, ADVERSARIAL_TRAINING} for claim in CLAIMS)


def test_a_claim_is_added_by_its_file_and_a_line(monkeypatch):
    monkeypatch.setattr(findings, "CLAIMS", (*CLAIMS, TOY))
    found = find(flow(lambda *, epoch, **_: 1.0 + 0.1 * epoch), performance_table([]))
    verdict = found.claims[-1]
    assert (verdict.claim, verdict.statement, verdict.verdict) == ("7", TOY.text, "supported")
    assert [one.statement for one in found.about("7")] == ["the first value is positive"]
    content = json.loads(findings_json(found))
    assert content["claims"][-1]["statement"] == TOY.text
    assert content["findings"][-1]["claim"] == "7"
    console = Console(file=io.StringIO(), width=80)
    console.print(findings_table(found))
    assert "7 toy claim" in console.file.getvalue()
    page = findings_html(found)
    assert TOY.text in page
    assert "Claim 7: what the verdict rests on" in page


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_method_gives_every_claim_in_its_own_words(claim):
    method = " ".join((DOCS / "method.md").read_text("utf-8").split())
    assert f"| {claim.number} | {claim.text} |" in method
    assert f"### Claim {claim.number}: {claim.name}" in method
