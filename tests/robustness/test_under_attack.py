"""What counts as broken: right before, wrong after, and inside the ball."""

import math
import warnings

import pytest
import torch
from tests.robustness.networks import BALL, digits, trained
from torch import nn

from infoplane.attacks import AttackWarning, LinfPGD
from infoplane.attacks.contract import Ball
from infoplane.robustness.suites import FGSM, PGD_20
from infoplane.robustness.summary import attacked_row, worst_case
from infoplane.robustness.under_attack import median, under_attack


class Brighter(nn.Module):
    """Says 1 if the mean pixel is above a half, else 0."""

    def forward(self, images):
        mean = images.flatten(1).mean(dim=1)
        return torch.stack([0.5 - mean, mean - 0.5], dim=1)


IMAGES = torch.tensor([0.2, 0.45, 0.6, 0.9]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
LABELS = torch.tensor([0, 0, 1, 0])  # the last is wrong without an attack


def shifted(by):
    def attack(model, images, labels, *, generator):
        return (images + torch.where(labels == 0, by, -by).view(-1, 1, 1, 1)).clamp(0, 1)

    return attack


def result_of(by, ball):
    correct = Brighter()(IMAGES).argmax(dim=1) == LABELS
    return under_attack(Brighter(), shifted(by), IMAGES, LABELS, correct, ball, generator=torch.Generator())


def test_images_are_broken_by_what_moves_them_across_the_border(generator):
    found = result_of(0.2, Ball("linf", 0.2))
    assert found.robust.tolist() == [True, False, False, False]
    assert found.fooled.tolist() == [False, True, True, False]
    assert found.attacked == 3
    assert found.linf.tolist() == pytest.approx([0.2, 0.2, 0.2, 0])  # the last is never attacked
    assert found.l2.tolist() == pytest.approx([0.4, 0.4, 0.4, 0])


def test_examples_outside_the_ball_fool_the_network_and_do_not_count():
    found = result_of(0.2, Ball("linf", 0.1))
    assert found.robust.tolist() == [True, True, True, False]
    assert found.fooled.tolist() == [False, True, True, False]
    row = attacked_row(FGSM, found)
    assert (row.fooled, row.outside, row.accuracy) == (2, 2, 0.75)
    assert row.median_linf == pytest.approx(0.2)
    assert result_of(0.2, Ball("l2", 0.4)).robust.tolist() == [True, False, False, False]


def test_the_worst_case_takes_the_strongest_attack_for_each_image():
    one, other = result_of(0.2, Ball("linf", 0.2)), result_of(0.01, Ball("linf", 0.2))
    correct = Brighter()(IMAGES).argmax(dim=1) == LABELS
    assert worst_case(correct, {FGSM: one, PGD_20: other}).accuracy == 0.25
    assert worst_case(correct, {}).accuracy == 0.75


def test_passes_are_counted_and_complaints_kept():
    images, labels = digits()
    model = nn.Sequential(trained(adversarially=False), nn.Softmax(dim=1))
    correct = model(images).argmax(dim=1) == labels
    attack = LinfPGD(epsilon=0.1, steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = under_attack(model, attack, images, labels, correct, BALL, generator=torch.Generator())
    assert (found.attacked, found.gradient) == (int(correct.sum()), 3 * found.attacked)
    assert found.forward >= found.gradient
    (complaint,) = [text for text in found.complaints if "softmax" in text]
    assert found.complaints[complaint] == found.attacked


def test_other_warnings_still_reach_the_caller():
    def attack(model, images, labels, *, generator):
        warnings.warn("deprecated", FutureWarning, stacklevel=1)
        return images

    correct = torch.tensor([True, True, True, False])
    with pytest.warns(FutureWarning, match="deprecated"):
        under_attack(Brighter(), attack, IMAGES, LABELS, correct, BALL, generator=torch.Generator())
    assert not issubclass(FutureWarning, AttackWarning)


def test_nothing_is_attacked_where_every_image_is_wrong():
    def attack(*_args, **_more):
        raise AssertionError

    none = torch.zeros(4, dtype=torch.bool)
    found = under_attack(Brighter(), attack, IMAGES, 1 - LABELS, none, BALL, generator=torch.Generator())
    row = attacked_row(FGSM, found)
    assert (row.accuracy, row.attacked, row.median_l2, row.forward) == (0, 0, None, 0)


def test_the_median_is_the_mean_of_the_middle_two():
    assert median(torch.tensor([1.0, 4.0, 2.0, 9.0])) == 3
    assert math.isnan(median(torch.tensor([])))
