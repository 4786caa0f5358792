"""Suites: cheap attacks first, each name once, and every attack within its ball and its stated cost."""

import pytest
import torch
from tests.robustness.networks import digits, trained

from infoplane.attacks.contract import Ball
from infoplane.robustness.suites import AUTOATTACK, DEEPFOOL, FGSM, SQUARE_500, SUITES, TRANSFER, usable
from infoplane.robustness.under_attack import under_attack

EVERY = {one.name: one for attacks in SUITES.values() for one in attacks}


def test_names_are_unique_and_stand_for_one_attack():
    for attacks in SUITES.values():
        assert len({one.name for one in attacks}) == len(attacks)
        assert all(EVERY[one.name] is one for one in attacks)


@pytest.mark.parametrize("suite", SUITES)
def test_cheap_attacks_come_first(suite):
    """By the cost of one image; the order of attacks that cost within a factor of three is free."""
    costs = [one.work for one in SUITES[suite]]
    assert all(later > earlier / 3 for place, earlier in enumerate(costs) for later in costs[place:])


def test_larger_suites_contain_the_names_of_smaller_ones_or_stronger_versions():
    quick, standard, full = ({one.name.rpartition("-")[0] or one.name for one in SUITES[name]} for name in SUITES)
    assert quick <= standard <= full


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", [name for name, one in EVERY.items() if one.work <= 200])
def test_attacks_stay_in_the_ball_and_within_their_cost(name, norm):
    one = EVERY[name]
    if norm not in one.norms:
        assert usable([one], norm=norm, classes=10, with_source=True)[0] == []
        return
    images, labels = (part[:40] for part in digits())
    model, ball = trained(adversarially=False), Ball(norm, 0.1 if norm == "linf" else 1.0)
    correct = model(images).argmax(dim=1) == labels
    found = under_attack(model, one.build(ball), images, labels, correct, ball, generator=torch.Generator())
    assert found.gradient <= one.gradients * found.attacked
    assert found.forward <= (one.gradients + one.queries + 2) * found.attacked
    assert not (found.fooled & found.robust).any()  # nothing outside the ball
    assert found.fooled.any()


def test_the_smallest_changes_are_found_outside_the_ball_too():
    images, labels = (part[:40] for part in digits())
    model, ball = trained(adversarially=False), Ball("linf", 0.01)
    correct = model(images).argmax(dim=1) == labels
    found = under_attack(model, DEEPFOOL.build(ball), images, labels, correct, ball, generator=torch.Generator())
    assert int(found.fooled.sum()) == found.attacked
    assert torch.equal(found.robust, correct & (found.linf > 0.01 + 1e-6))
    assert found.robust.float().mean() > 0.5


def test_autoattack_is_part_of_the_suite_and_verified():
    pytest.importorskip("pyautoattack")
    images, labels = (part[:10] for part in digits())
    model, ball = trained(adversarially=False), Ball("linf", 0.3)
    correct = model(images).argmax(dim=1) == labels
    found = under_attack(model, AUTOATTACK.build(ball), images, labels, correct, ball, generator=torch.Generator())
    assert not found.robust.any()
    assert found.linf.max() <= 0.3 + 1e-6
    assert 0 < found.gradient <= AUTOATTACK.gradients * found.attacked


def test_attacks_that_cannot_be_run_are_left_out_with_a_reason():
    chosen, left_out = usable([FGSM, SQUARE_500, TRANSFER], norm="l2", classes=2, with_source=False)
    assert chosen == [FGSM]
    assert left_out == [
        "square-500: it is defined for the norm linf, not for l2",
        "transfer: there is no other network to make its examples on",
    ]
    needy = [one for one in EVERY.values() if one.classes > 2]
    assert [reason.partition(":")[0] for reason in usable(needy, norm="linf", classes=2, with_source=True)[1]] == [
        one.name for one in needy
    ]
