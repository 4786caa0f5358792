"""What a reader may conclude from a verdict."""

import pytest
from tests.report.test_findings_table import claim, finding

from infoplane.findings import Findings
from infoplane.findings.finding import NEEDS_SEEDS
from infoplane.report.conclusions import conclusion
from infoplane.report.findings_table import findings_html

INPUT, LABEL = "normal training ends with more I(X;T)", "normal training ends with more I(T;Y)"
OPEN = "The run neither supports nor contradicts the claim."


def concluded(verdict, *findings, number="2", **facts):
    return conclusion(claim(number, verdict, **facts), Findings([], list(findings)))


def test_the_parts_of_an_open_claim_stand_under_their_verdicts():
    found = [
        finding(part="a", statement=LABEL, verdict="supported"),
        finding(part="b", statement=INPUT, verdict="contradicted"),
        finding(part="c", statement="it rises later", verdict="undecided"),
    ]
    assert concluded("undecided", *found) == (
        OPEN,
        [f"Supported: {LABEL}.", f"Contradicted: {INPUT}.", "Undecided: it rises later."],
    )


def test_one_seed_speaks_for_its_networks_alone():
    found = [finding(part="a", seeds=1), finding(part="b", seeds=1, statement="other", verdict="undecided")]
    lead, items = concluded("undecided", *found, reason=f"{NEEDS_SEEDS} (a)")
    assert lead == f"{OPEN} One seed does not show how much trainings differ, so the rules count no verdict from it."
    assert items == [
        "Supported, in these networks of one seed: normal ends with more.",
        "Undecided, in these networks of one seed: other.",
    ]
    assert concluded("contradicted", *found)[0] == "The run contradicts the claim for these networks."


def test_a_claim_is_said_of_the_fewest_seeds_that_it_rests_on():
    found = [finding(part="a", seeds=5), finding(part="b", seeds=2), finding(part="c", seeds=1)]
    assert concluded("supported", *found, rests_on=("a", "b"))[0] == "The run supports the claim over 2 seeds."


def test_a_claim_about_estimators_is_true_without_networks():
    lead, items = concluded(
        "supported", finding(claim="6", part="a", statement="I(X;T) rises", estimator="kde-bd"),
        finding(claim="6", part="b", statement="I(X;T) rises", estimator="kde-kl@relative"), number="6",
    )  # fmt: skip
    assert lead == "The run supports the claim for points that were drawn without a network."
    assert items == ["Supported: I(X;T) rises, by KDE (BD); KDE (KL), relative noise."]


def test_a_statement_with_two_verdicts_says_by_what_each_was_measured():
    found = [
        finding(part="a", statement=LABEL, statistic="correlation", verdict="supported"),
        finding(part="b", statement=LABEL, statistic="distance", verdict="contradicted"),
    ]
    assert concluded("undecided", *found)[1] == [
        f"Supported: {LABEL}, by correlation.",
        f"Contradicted: {LABEL}, by distance.",
    ]


def test_of_a_part_with_levels_one_that_is_supported_is_enough():
    verdicts = {2: "contradicted", 8: "supported", 64: "undecided", 1024: "supported"}
    found = [finding(statement=f"saturation raises it, level {level}", verdict=one) for level, one in verdicts.items()]
    assert concluded("supported", *found)[1] == ["Supported: saturation raises it, at level 8, 1024."]
    assert concluded("undecided", *found[::2])[1] == ["Undecided: saturation raises it, at level 64."]


@pytest.mark.parametrize("found", [[], [finding(part="", verdict="supported")], [finding(verdict="undecided")]])
def test_nothing_is_concluded_where_no_part_is_decided(found):
    assert concluded("undecided", *found) == (OPEN, [])


def test_the_page_says_it_in_the_card_of_the_claim():
    page = findings_html(Findings([claim("2", "supported")], [finding(statement="a < b")]))
    said = "The run supports the claim over 3 seeds.<ul><li>Supported: a &lt; b.</li></ul>"
    assert f"<dt>What a reader may conclude</dt><dd>{said}</dd>" in page
