"""The parts of attacks that look for the smallest perturbation: what is kept, checked and minimised."""

import torch
from tests.attacks.test_pgd import batch, network

from infoplane.attacks.box_lbfgs import dots, minimise_in_box
from infoplane.attacks.closest import Closest
from infoplane.attacks.goal import Goal
from infoplane.attacks.hygiene import GradientHealth
from infoplane.attacks.oracle import Oracle

ORIGINALS = torch.full((3, 1, 2, 2), 0.5)
ALL = torch.arange(3)


def test_the_closest_adversarial_candidate_is_kept():
    closest = Closest(ORIGINALS)
    yes, no = torch.ones(3, dtype=torch.bool), torch.zeros(3, dtype=torch.bool)
    closest.offer(ALL, ORIGINALS + 0.2, yes)
    closest.offer(ALL, ORIGINALS + 0.3, yes)  # farther
    closest.offer(ALL[:2], ORIGINALS[:2] + 0.1, torch.tensor([True, False]))
    closest.offer(ALL, ORIGINALS + 0.01, no)  # not adversarial
    torch.testing.assert_close(closest.norms, torch.tensor([0.2, 0.4, 0.4]))
    torch.testing.assert_close(closest.images[:, 0, 0, 0], torch.tensor([0.6, 0.7, 0.7]))
    assert closest.found.all()


def test_images_that_the_last_check_refuses_are_pushed_outwards_or_come_back_as_they_were():
    closest = Closest(ORIGINALS)
    closest.offer(ALL, ORIGINALS + 0.2, torch.tensor([True, True, True]))
    limits = torch.tensor([0.1, 0.20001, 0.5])  # the second is just missed, the third is out of reach
    attacked = closest.confirmed(lambda images: (images - ORIGINALS).flatten(1).amax(dim=1) > limits)
    assert torch.equal(attacked[0], closest.images[0])
    assert 0.20001 < (attacked[1] - 0.5).max() < 0.2001
    assert torch.equal(attacked[2], ORIGINALS[2])


def test_l_bfgs_finds_the_minimum_of_a_quadratic_function_in_the_box():
    source = torch.Generator().manual_seed(0)
    centre = 3 * torch.rand(4, 1, 3, 3, generator=source) - 1  # most of it outside the box
    curvature = 0.1 + 5 * torch.rand(4, 1, 3, 3, generator=source)

    def function(points, places):
        away = points - centre[places]
        return 0.5 * dots(curvature[places] * away, away), curvature[places] * away

    found = minimise_in_box(function, torch.full_like(centre, 0.5), evaluations=60)
    torch.testing.assert_close(found, centre.clamp(0, 1), atol=1e-3, rtol=0)


def test_l_bfgs_takes_no_more_evaluations_than_it_may():
    evaluations = torch.zeros(4)

    def function(points, places):
        evaluations[places] += 1
        return dots(points, points).sqrt(), points / dots(points, points).sqrt().view(-1, 1, 1, 1)

    minimise_in_box(function, torch.rand(4, 1, 3, 3), evaluations=7)
    assert evaluations.max() <= 7


def test_several_gradients_from_one_pass_are_those_of_one_at_a_time():
    model, (images, _) = network().eval(), batch()
    oracle = Oracle(model, GradientHealth(len(images), images.device))
    directions = torch.randn(3, len(images), 3, generator=torch.Generator().manual_seed(0))
    logits, together = oracle.gradients(images, lambda _: directions)
    for direction, gradient in zip(directions, together, strict=True):
        alone = oracle.gradient(images, lambda _, direction=direction: direction)
        torch.testing.assert_close(gradient, alone[1])
        torch.testing.assert_close(logits, alone[0])


def test_the_slope_of_the_margin_is_its_gradient():
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for targeted in (False, True):
        goal = Goal(torch.tensor([0, 1, 2, 3, 0]), targeted=targeted)
        (slope,) = torch.autograd.grad(goal.margin(logits).sum(), logits)
        assert torch.equal(goal.margin_slope(logits.detach()), slope)
