"""What a reader may conclude from a verdict."""

import pytest
from tests.report.test_findings_table import claim, finding

from infoplane.findings import Findings
from infoplane.report.conclusions import conclusion, reasons
from infoplane.report.findings_table import findings_html

INPUT, LABEL = "normal training ends with more I(X;T)", "normal training ends with more I(T;Y)"


def concluded(verdict, *findings, number="2"):
    return conclusion(claim(number, verdict), Findings([], list(findings)))


def test_the_parts_of_an_open_claim_stand_under_their_verdicts():
    found = [
        finding(statement=LABEL, verdict="supported"),
        finding(statement=INPUT, verdict="contradicted"),
        finding(statement="it rises later", verdict="undecided"),
    ]
    assert concluded("undecided", *found) == (
        "Nothing for or against the claim as a whole.",
        [f"Holds: {LABEL}.", f"Does not hold: {INPUT}.", "Cannot be told: it rises later."],
    )


def test_one_seed_speaks_for_its_networks_alone():
    found = [finding(seeds=1), finding(seeds=1, statement="other", verdict="undecided")]
    assert concluded("undecided", *found)[1] == [
        "Holds (for these networks, of one seed): normal ends with more.",
        "Cannot be told (for these networks, of one seed): other.",
    ]
    assert concluded("contradicted", *found)[0] == "The claim does not hold for these networks."
    assert concluded("supported", finding(seeds=5))[0] == "The claim holds over 5 seeds."


def test_a_claim_about_estimators_holds_without_networks():
    lead, items = concluded(
        "supported", finding(claim="6", statement="I(X;T) rises", estimator="kde-bd"),
        finding(claim="6", statement="I(X;T) rises", estimator="kde-kl"), number="6",
    )  # fmt: skip
    assert lead == "The claim holds for points that were drawn without a network."
    assert items == ["Holds: I(X;T) rises, by KDE (BD), KDE (KL)."]


def test_a_statement_with_two_verdicts_says_by_what_each_was_measured():
    found = [
        finding(statement=LABEL, statistic="correlation", verdict="supported"),
        finding(statement=LABEL, statistic="distance", verdict="contradicted"),
    ]
    assert concluded("undecided", *found)[1] == [
        f"Holds: {LABEL}, by correlation.",
        f"Does not hold: {LABEL}, by distance.",
    ]


def test_levels_of_one_statement_are_named_together():
    found = [finding(statement=f"saturation raises it, level {level}", seeds=3) for level in (8, 1024)]
    assert concluded("supported", *found)[1] == ["Holds: saturation raises it, at level 8, 1024."]


def test_reasons_stand_once_and_without_the_parts_that_they_are_true_of():
    reason = (
        "needs at least two seeds: add `--seeds 3` (final I(X;T), final I(T;Y); at epoch 200); the interval spans 0 "
        "(lag of I(X;T); rests on 4 of 5 layers: conv1 (first), fc1); the interval spans 0 (lag of I(T;Y))"
    )
    assert reasons(claim("2", reason=reason)) == [
        "one seed does not show how much trainings differ",
        "the interval spans 0",
    ]
    assert reasons(claim("2", reason="the records contradict: final I(X;T), I(T;Y)")) == [
        "the records contradict: final I(X;T), I(T;Y)"
    ]


@pytest.mark.parametrize("found", [[], [finding(part="", verdict="supported")], [finding(verdict="undecided")]])
def test_nothing_is_concluded_where_no_part_is_decided(found):
    lead, items = concluded("undecided", *found)
    assert lead == "Nothing for or against the claim as a whole. None of its parts is decided."
    assert not items


def test_the_page_says_it_in_the_card_of_the_claim():
    page = findings_html(Findings([claim("2", "supported")], [finding(statement="a < b")]))
    said = "The claim holds over 3 seeds.<ul><li>Holds: a &lt; b.</li></ul>"
    assert f"<dt>What a reader may conclude</dt><dd>{said}</dd>" in page
