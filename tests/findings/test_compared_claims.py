from dataclasses import replace

import polars as pl
import pytest
from tests.findings.constructed import LAYERS, flow

from infoplane.findings import Findings, find
from infoplane.findings.compared_claims import changed_signs, changed_verdicts, verdict_sentence
from infoplane.records.tables import PERFORMANCE_SCHEMA


@pytest.fixture(scope="module")
def ahead():
    """Normal training ends above adversarial training, as claim 2 says."""
    return found(lambda training, epoch, **_: epoch / 10 + 0.5 * (training == "normal"))


def found(rule):
    return find(flow(rule, seeds=(0, 1, 2)), pl.DataFrame(schema=PERFORMANCE_SCHEMA))


def with_verdict(findings, claim, verdict):
    claims = [one._replace(verdict=verdict) if one.claim == claim else one for one in findings.claims]
    return Findings(claims, findings.findings)


def test_equal_runs_change_nothing(ahead):
    assert changed_verdicts({"A": ahead, "B": ahead}) == []
    assert changed_signs({"A": ahead, "B": ahead}) == []


def test_a_changed_verdict_is_said_in_one_line(ahead):
    runs = {
        "A": with_verdict(ahead, "1", "supported"),
        "B": with_verdict(ahead, "1", "contradicted"),
        "C": with_verdict(ahead, "1", "supported"),
    }
    (changed,) = changed_verdicts(runs)
    assert verdict_sentence(changed) == "claim 1: supported in A and C, contradicted in B"


def test_a_training_that_is_above_another_in_one_run_and_below_in_the_next_changes_a_sign(ahead):
    behind = found(lambda training, epoch, **_: epoch / 10 + 0.5 * (training == "adversarial"))
    changed = changed_signs({"A": ahead, "B": behind})
    assert changed
    for one in changed:
        signs = {name: finding.low > 0 for name, finding in one.findings.items()}
        assert signs["A"] != signs["B"]
    assert any(LAYERS[0] in one.where for one in changed)


def test_a_sign_within_its_interval_is_no_change(ahead):
    one = next(one for one in ahead.findings if one.low is not None and one.low > 0)
    other = replace(one, value=-one.value, low=-1.0, high=1.0)
    assert changed_signs({"A": Findings([], [one]), "B": Findings([], [other])}) == []
    below = replace(one, value=-one.value, low=-one.high, high=-one.low)
    assert len(changed_signs({"A": Findings([], [one]), "B": Findings([], [below])})) == 1
