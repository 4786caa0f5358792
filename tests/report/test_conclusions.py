"""What a reader may conclude from a verdict."""

import pytest
from tests.report.test_findings_table import claim, finding

from infoplane.findings import Findings
from infoplane.report.conclusions import conclusion
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
        [f"Supported: {LABEL}.", f"Contradicted: {INPUT}.", "Open: it rises later."],
    )


def test_one_seed_speaks_for_its_networks_alone():
    found = [finding(seeds=1), finding(seeds=1, statement="other", verdict="undecided")]
    assert "the networks of one seed" in concluded("undecided", *found)[0]
    assert concluded("contradicted", *found)[0] == "The claim does not hold for these networks, of one seed."
    assert concluded("supported", finding(seeds=5))[0] == "The claim holds over 5 seeds."


def test_a_claim_about_estimators_holds_without_networks():
    lead, items = concluded(
        "supported", finding(claim="6", statement="I(X;T) rises", estimator="kde-bd"),
        finding(claim="6", statement="I(X;T) rises", estimator="kde-kl"), number="6",
    )  # fmt: skip
    assert lead == "The claim holds for points that were drawn without a network."
    assert items == ["Supported: I(X;T) rises, by KDE (BD), KDE (KL)."]


def test_a_statement_with_two_verdicts_says_by_what_each_was_measured():
    found = [
        finding(statement=LABEL, statistic="correlation", verdict="supported"),
        finding(statement=LABEL, statistic="distance", verdict="contradicted"),
    ]
    assert concluded("undecided", *found)[1] == [
        f"Supported: {LABEL}, by correlation.",
        f"Contradicted: {LABEL}, by distance.",
    ]


@pytest.mark.parametrize("found", [[], [finding(part="", verdict="supported")], [finding(verdict="undecided")]])
def test_nothing_is_concluded_where_no_part_is_decided(found):
    lead, items = concluded("undecided", *found)
    assert lead == "Nothing for or against the claim as a whole. None of its parts is decided."
    assert not items


def test_the_page_says_it_in_the_card_of_the_claim():
    page = findings_html(Findings([claim("2", "supported")], [finding(statement="a < b")]))
    said = "The claim holds over 3 seeds.<ul><li>Supported: a &lt; b.</li></ul>"
    assert f"<dt>What a reader may conclude</dt><dd>{said}</dd>" in page
