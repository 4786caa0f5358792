"""How findings become the verdict of a claim, and what it says about them."""

from dataclasses import replace

import numpy as np
import pytest

from infoplane.findings.claim import Claim
from infoplane.findings.evidence import Evidence
from infoplane.findings.finding import Statement, against, all_of, undecidable
from infoplane.findings.verdict import claim_verdict

ONE = Claim(number="3", name="one", text="It is so.", trainings=("normal",), statements=lambda at_hand: [])
OF_METHODS = replace(ONE, needs_several_seeds=True)


def at(place, error=0.0):
    """A statistic whose interval at level alpha reaches `error` / alpha to either side."""
    return Evidence(
        values=np.array([place]), over_examples=lambda alpha: (place - error / alpha, place + error / alpha)
    )


def statement(part, place, error=0.0, *, seeds=3, **facts):
    own = {"judge": against(at(place, error), above=True), **facts}
    return Statement(statement="", statistic="", part=part, value=place, seeds=seeds, **own)


SURE = [statement(part, 9.0) for part in "bcd"]


def test_every_part_supports_and_one_contradicts():
    assert claim_verdict(ONE, SURE)[3:] == ("supported", "every part is supported", ("b", "c", "d"))
    against_it = claim_verdict(ONE, [statement("a", -9.0), *SURE])
    assert against_it[3:] == ("contradicted", "the records contradict: a", ("a",))


def test_a_part_that_contradicts_alone_but_not_among_all_parts_is_said_to():
    # the interval ends at -0.2 at 5 %, and at 0.4 at 5 % / 4
    found = claim_verdict(ONE, [statement("a", -0.4, 0.01), *SURE])
    assert (found.verdict, found.reason) == ("undecided", "contradicted at 5 %, not at 5 % / 4 parts (a)")


def test_an_undecided_claim_quotes_no_finding_that_is_decided():
    levels = [statement("a", -9.0), statement("a", 0.0, 1.0), statement("a", 0.3, 0.01), statement("a", -9.0)]
    found = claim_verdict(ONE, [*levels, *SURE])
    assert found.verdict == "undecided"
    assert found.reason == (
        "of 4 findings 1 supported at 5 %, none at 5 % / 4 findings, 2 contradicted, 1 undecided: the interval spans 0 "
        "(a)"
    )
    assert "lies" not in found.reason


def test_undecided_parts_are_named_with_what_each_says():
    parts = [statement("a", 0.0, 1.0), statement("b", 0.1, 1.0), statement("c", 0.0, judge=undecidable("missing: d"))]
    assert claim_verdict(ONE, [*parts, statement("d", 9.0)]).reason == "the interval spans 0 (a, b); missing: d (c)"
    few = statement("e", 0.0, 1.0, scope="rests on 1 of 5 layers: fc3")
    assert claim_verdict(ONE, [parts[0], few]).reason == (
        "the interval spans 0 (a); the interval spans 0 (e; rests on 1 of 5 layers: fc3)"
    )


def test_claims_about_methods_need_seeds_that_others_do_without():
    for place, verdict in ((9.0, "supported"), (-9.0, "contradicted")):
        parts = [statement(part, place, seeds=1) for part in "ab"]
        assert {one.finding("3").verdict for one in parts} == {verdict}
        assert claim_verdict(OF_METHODS, parts)[3:] == (
            "undecided", "needs at least two seeds: add `--seeds 3` (a, b)", ("a", "b"),
        )  # fmt: skip
        other = claim_verdict(ONE, parts)
        assert (other.verdict, "one seed: the verdict is about these networks" in other.reason) == (verdict, True)
    # one part of one seed cannot support, and one of several seeds can contradict
    mixed = [statement("a", 9.0, seeds=1), statement("b", 9.0)]
    assert claim_verdict(OF_METHODS, mixed)[3:5] == ("undecided", "needs at least two seeds: add `--seeds 3` (a)")
    assert claim_verdict(OF_METHODS, [mixed[0], statement("b", -9.0)]).reason == "the records contradict: b"


def test_how_much_a_part_rests_on_is_said_whatever_the_verdict():
    for place, verdict in ((9.0, "supported"), (-9.0, "contradicted"), (0.0, "undecided")):
        one = statement("a", place, 0.01, scope="2 of 10 curves could be judged")
        found = claim_verdict(ONE, [one])
        assert (found.verdict, "2 of 10 curves could be judged" in found.reason) == (verdict, True)
        assert "2 of 10 curves" in one.finding("3").reason


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (2e-3, "the interval lies above 0 by more than 0.001 nats"),
        (-2e-3, "the interval lies below 0 by more than 0.001 nats"),
        (0.0, "the interval spans 0"),
        (5e-4, "the interval does not clear 0 by 0.001 nats, the numerical error"),
    ],
)
def test_a_margin_is_named(place, reason):
    assert against(at(place), above=True, margin=1e-3)(0.05).reason.partition(";")[0] == reason


def test_an_undecided_finding_says_how_many_seeds_would_decide():
    def of(values):
        return against(Evidence(values=np.array(values), over_examples=lambda _: (np.mean(values),) * 2), above=True)

    assert of([0.0, 1.0, 2.0])(0.05).reason.partition(";")[0] == "the interval spans 0, 7 such seeds would decide"
    assert ", and 100 such seeds would not decide" in of([-1.0, 0.01, 1.0])(0.05).reason
    assert "would" not in of([0.9, 1.0, 1.1])(0.05).reason  # decided


def test_several_conditions_support_together_and_the_first_alone_contradicts():
    up, down, open_one = (against(at(place, error), above=True) for place, error in ((9.0, 0), (-9.0, 0), (0.0, 1.0)))
    assert all_of([up, up])(0.05).verdict == "supported"
    assert all_of([down, up])(0.05).verdict == "contradicted"
    found = all_of([up, open_one])(0.05)
    assert (found.verdict, found.reason.partition(";")[0], found.low) == ("undecided", "the interval spans 0", 9.0)
    assert all_of([up, down])(0.05).verdict == "undecided"
