"""Alarms fire on networks whose gradients are masked, and are silent on others."""

import functools
from itertools import pairwise

import pytest
import torch
from tests.robustness.networks import BALL, Cold, Noisy, Quantised, digits, trained

from infoplane.attacks import Transfer
from infoplane.robustness.alarms import accuracy_left, all_alarms, gradient_free_wins
from infoplane.robustness.curve import curve_epsilons, survivors
from infoplane.robustness.outputs import look_at_outputs
from infoplane.robustness.suites import APGD_CE, AUTOATTACK, FGSM, PGD_20, SQUARE_500, TRANSFER
from infoplane.robustness.under_attack import UnderAttack, under_attack


def evaluated(model, source):
    images, labels = digits()
    correct = model(images).argmax(dim=1) == labels
    results = {}
    for one in (FGSM, PGD_20, TRANSFER, APGD_CE, SQUARE_500):
        attack = one.build(BALL)
        if one is TRANSFER:
            attack = Transfer(attack=attack, source=source)
        draws = torch.Generator().manual_seed(1)
        results[one] = under_attack(model, attack, images, labels, correct, BALL, generator=draws)
    epsilons = curve_epsilons("linf", images)
    curve = list(
        survivors(model, images, labels, correct, "linf", epsilons, lambda place: torch.Generator().manual_seed(place))
    )
    return results, curve, all_alarms(results, look_at_outputs(model, images), epsilons, curve)


@functools.cache
def plain():
    return trained(adversarially=False)


def names(alarms):
    return [alarm.name for alarm in alarms]


def test_adversarial_training_on_digits_raises_no_alarm():
    results, curve, alarms = evaluated(trained(adversarially=True), plain())
    assert names(alarms) == []
    assert 0.3 < results[PGD_20].robust.float().mean() < 1  # robust to a part, so there is something to overstate
    assert not curve[-1].any()


def test_normal_training_raises_no_alarm():
    assert names(evaluated(plain(), trained(adversarially=False, seed=1))[2]) == []


def test_quantised_inputs_raise_alarms():
    _, _, alarms = evaluated(Quantised(plain()), plain())
    assert {"gradient-free attack wins", "zero gradients", "accuracy at the largest epsilon"} <= set(names(alarms))
    transfer = next(alarm for alarm in alarms if "transfer" in alarm.text)
    assert "made on another network" in transfer.text
    assert 0 < transfer.numbers["low"] < transfer.numbers["white_box_accuracy"] - transfer.numbers["accuracy"]
    zero = next(alarm for alarm in alarms if alarm.name == "zero gradients")
    assert zero.numbers["images"] == zero.numbers["attacked"]
    assert "(100.0 %) had zero gradients under" in zero.text


def test_a_cold_softmax_raises_alarms():
    _, _, alarms = evaluated(Cold(plain()), plain())
    assert {"gradient-free attack wins", "zero gradients", "softmax outputs"} <= set(names(alarms))


def test_random_outputs_raise_an_alarm():
    images, _ = digits()
    with torch.random.fork_rng():
        outputs = look_at_outputs(Noisy(plain()), images)
    assert outputs.differing == len(images)
    (alarm,) = all_alarms({}, outputs, [0.5], [torch.zeros(3, dtype=torch.bool)])
    assert alarm.name == "random outputs"
    assert "draws=20" in alarm.text


def of(robust, **more):
    facts = {"attacked": 100, "seconds": 0.0, "forward": 0, "gradient": 0, "complaints": {}} | more
    right = torch.arange(100) < robust if isinstance(robust, int) else robust
    zeros = torch.zeros(100)
    return UnderAttack(predicted=zeros, fooled=~right, robust=right, linf=zeros, l2=zeros, **facts)


@pytest.mark.parametrize(("broken", "fires"), [(5, False), (6, True)])
def test_six_more_images_are_beyond_the_paired_interval_and_five_are_not(broken, fires):
    alarms = gradient_free_wins({FGSM: of(90), PGD_20: of(80), SQUARE_500: of(80 - broken)})
    assert len(alarms) == fires
    if fires:
        assert "the attack square-500, without gradients, leaves 74.0 % accuracy" in alarms[0].text
        assert "pgd-20, 80.0 %: a difference of 6.0 points" in alarms[0].text


def test_the_comparison_is_paired():
    """The same two accuracies, but each attack breaks others: the difference may be chance."""
    white_box, black_box = torch.arange(100) < 80, torch.arange(100) >= 26
    assert gradient_free_wins({PGD_20: of(white_box), SQUARE_500: of(black_box)}) == []


def test_an_attack_that_is_only_as_strong_raises_no_alarm():
    assert gradient_free_wins({PGD_20: of(50), SQUARE_500: of(50)}) == []
    assert gradient_free_wins({SQUARE_500: of(50)}) == []


def test_an_ensemble_that_contains_square_is_no_white_box_attack():
    """Else AutoAttack would hide that Square is stronger than every attack by gradients."""
    alarms = gradient_free_wins({PGD_20: of(80), SQUARE_500: of(60), AUTOATTACK: of(60)})
    assert names(alarms) == ["gradient-free attack wins"]
    assert gradient_free_wins({PGD_20: of(80), AUTOATTACK: of(60)}) == []


def test_a_few_unusable_gradients_are_tolerated():
    outputs = look_at_outputs(plain(), digits()[0])
    for number, expected in ((1, []), (2, ["zero gradients"])):
        results = {PGD_20: of(50, complaints={"had all-zero gradients at every step; they were not attacked": number})}
        assert names(all_alarms(results, outputs, [0.5], [torch.zeros(3, dtype=torch.bool)])) == expected


def test_one_survivor_at_the_largest_epsilon_is_an_alarm():
    (alarm,) = accuracy_left(0.5, torch.tensor([True, False, False, False]))
    assert alarm.text.startswith("at epsilon 0.5, where every image can be made grey, 1 of 4 images (25.0 %) survive")
    assert accuracy_left(0.5, torch.zeros(4, dtype=torch.bool)) == []


def test_every_image_can_be_made_grey_in_the_largest_ball():
    images, _ = digits()
    for norm in ("linf", "l2"):
        largest = curve_epsilons(norm, images)[-1]
        extreme = torch.full_like(images[:1], 1.0)
        distance = (extreme - 0.5).flatten().norm(p=float("inf") if norm == "linf" else 2)
        assert distance.item() == pytest.approx(largest)


def test_the_curve_falls_and_begins_below_the_clean_accuracy():
    images, labels = digits()
    model = plain()
    correct = model(images).argmax(dim=1) == labels
    radii = (0.1, 1.0, 14.0)
    curve = list(survivors(model, images, labels, correct, "l2", radii, torch.Generator().manual_seed))
    counts = [int(left.sum()) for left in curve]
    assert int(correct.sum()) >= counts[0] > counts[1] > counts[2] == 0
    assert all(bool((later <= earlier).all()) for earlier, later in pairwise(curve))
