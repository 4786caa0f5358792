"""Attacks on networks that draw at every pass: one pass that errs neither spares an image nor ends its attack."""

import itertools
from dataclasses import replace

import pytest
import torch
from tests.robustness.networks import BALL, digits, trained
from torch import nn
from torch.nn import functional as F

from infoplane.attacks import APGD, LinfPGD, Square
from infoplane.attacks.balls import region_around
from infoplane.attacks.contract import Ball
from infoplane.attacks.hygiene import GradientHealth
from infoplane.attacks.oracle import Oracle, counted_evaluations
from infoplane.networks.gaussian_layer import GaussianLayer
from infoplane.records.evaluation import AVERAGED_DRAWS, DRAWS, MEAN_PATH, ONE_PATH
from infoplane.robustness.curve import survivors
from infoplane.robustness.suites import (
    APGD_CE,
    APGD_DLR,
    AUTOATTACK,
    AUTOATTACK_RAND,
    PGD_20,
    PGD_50X10,
    SQUARE_500,
    TRANSFER,
    along_one_draw,
)
from infoplane.robustness.uses import uses_of


class Flipping(nn.Module):
    """Linear in the mean of the pixels, with a boundary at 0.5; every second pass gives the other classes at random."""

    def __init__(self):
        super().__init__()
        self.passes = itertools.count()

    def forward(self, images):
        margin = 20 * (images.flatten(start_dim=1).mean(dim=1) - 0.5)
        if next(self.passes) % 2 == 0:  # the first pass errs on every image of class 0
            margin = margin + 40
        return torch.stack([-margin, margin, torch.full_like(margin, -100.0)], dim=1)


IMAGES, LABELS = torch.full((3, 1, 6, 6), 0.4), torch.zeros(3, dtype=torch.int64)
RADIUS = Ball("linf", 0.3)  # three times the distance to the boundary


def on_flipping(one):
    """Attack images of class 0 that a pass without the shift classifies correctly; return margins, and the passes."""
    with counted_evaluations() as passes:
        attacked = one.build(RADIUS)(Flipping(), IMAGES, LABELS, generator=torch.Generator().manual_seed(0))
    return attacked.mean(dim=(1, 2, 3)) - 0.5, passes


def random_use(draws=1):
    model = Flipping()
    (use,) = uses_of(model, IMAGES, 0)
    return replace(use, draws=draws)


@pytest.mark.parametrize("one", [PGD_20, PGD_50X10, APGD_CE, APGD_DLR, SQUARE_500], ids=lambda one: one.name)
def test_an_image_that_one_pass_misclassifies_is_attacked_with_all_steps(one):
    """The first pass errs on all images. Only a change that crosses 0.5 deceives the passes without the shift."""
    ((changed,), _) = random_use().attacks([one])
    beyond, passes = on_flipping(changed)
    assert (beyond > 0).all()
    assert passes.gradient == len(IMAGES) * one.gradients
    assert passes.forward >= len(IMAGES) * max(one.gradients, one.queries - 1)
    assert (on_flipping(one)[0] < 0).any()  # stopping at the first success is what went wrong


def test_the_kept_version_is_that_of_the_highest_margin():
    """Of a network without random parts, all steps lead at least as far beyond the boundary as stopping does."""
    images, labels = (part[:60] for part in digits())
    model = trained(adversarially=False)
    for attack in (APGD(epsilon=0.05, steps=20, stop_early=True), Square(epsilon=0.05, queries=60)):
        margins = []
        for all_steps in (False, True):
            changed = replace(attack, all_steps=all_steps)
            logits = model(changed(model, images, labels, generator=torch.Generator().manual_seed(0)))
            own = logits.gather(1, labels[:, None]).squeeze(1)
            margins.append(logits.scatter(1, labels[:, None], -torch.inf).amax(dim=1) - own)
        stopped, full = margins
        assert ((stopped > 0) <= (full > 0)).all()
        assert (full >= stopped - 1e-4)[stopped > 0].all()


class Code(nn.Module):
    """The hidden layer of a trained network gets noise of its own; the draws of a pass depend on its number alone."""

    def __init__(self, variance):
        super().__init__()
        network = trained(adversarially=False)
        self.encoder, self.decoder, self.code = network[:3], network[3], GaussianLayer()
        self.variance, self.passes = torch.tensor(variance), 0

    def forward(self, images):
        torch.manual_seed(self.passes)
        self.passes += 1
        return self.decoder(self.code(self.encoder(images), self.variance))


@pytest.mark.parametrize("one", [along_one_draw(PGD_20), PGD_20], ids=lambda one: one.name)
def test_pgd_of_the_suite_is_never_weaker_than_a_loop_of_all_steps_on_the_same_draws(one):
    images, labels = (part[:100] for part in digits())
    model = Code(variance=4.0).eval()
    _, drawn = uses_of(model, images, 0)
    network = drawn.single if one.one_draw else drawn.attacked
    ((changed,), _) = drawn.attacks([one])
    model.passes = 0
    attacked = changed.build(BALL)(network, images, labels, generator=torch.Generator().manual_seed(0))

    by_hand = region_around(images, "linf", 0.1).random_point(torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        model.passes = 0
        for _ in range(20):
            pixels = by_hand.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(network(pixels), labels, reduction="sum"), pixels)
            stepped = by_hand + 0.1 / 8 * gradient.sign()
            by_hand = torch.minimum(torch.maximum(stepped, images - 0.1), images + 0.1).clamp(0, 1)

    def right(pixels):
        model.passes = 0
        return int((drawn.verified(pixels).argmax(dim=1) == labels).sum())

    assert right(images) > 60
    assert right(attacked) <= right(by_hand)


def test_all_steps_are_run_on_both_paths_and_on_no_other_network():
    suite = [PGD_20, APGD_CE, SQUARE_500, TRANSFER]
    model = Code(variance=1.0).eval()
    uses = {use.path: use for use in uses_of(model, digits()[0], 0)}
    for path in (MEAN_PATH, AVERAGED_DRAWS):
        for one in uses[path].attacks(suite)[0]:
            assert "all_steps=True" in repr(one.build(BALL))  # so a kept result of an older attack is not used
            assert "all steps on every image" in one.description
    (only,) = uses_of(trained(adversarially=False), digits()[0], 0)
    assert only.path == ONE_PATH
    assert only.attacks(suite)[0] == suite
    assert (only.random, uses[MEAN_PATH].random, uses[AVERAGED_DRAWS].random) == (False, False, True)


def test_autoattack_is_that_for_random_networks_wherever_the_network_draws():
    mean, drawn = uses_of(Code(variance=1.0).eval(), digits()[0], 0)
    assert drawn.draws == 1  # the network averages in one pass
    assert drawn.attacks([AUTOATTACK])[0] == [AUTOATTACK_RAND]
    assert mean.attacks([AUTOATTACK])[0] == [AUTOATTACK]
    assert random_use(DRAWS).attacks([AUTOATTACK])[0] == [AUTOATTACK_RAND]


def test_the_curve_attacks_with_all_steps_too():
    def left(*, all_steps):
        model, right = Flipping(), torch.ones(3, dtype=torch.bool)
        curve = survivors(
            model,
            IMAGES,
            LABELS,
            right,
            "linf",
            [0.3],
            torch.Generator().manual_seed,
            all_steps=all_steps,
            classifier=Straight(),
        )
        return int(next(curve).sum())

    assert left(all_steps=False) == 3
    assert left(all_steps=True) == 0


class Straight(nn.Module):
    """`Flipping` without the passes that err."""

    def forward(self, images):
        network = Flipping()
        next(network.passes)
        return network(images)


def test_several_draws_switch_all_steps_on():
    assert LinfPGD(epsilon=0.1, steps=5, draws=2, stop_early=True).all_steps
    assert not LinfPGD(epsilon=0.1, steps=5, stop_early=True).all_steps


class InTurn(nn.Module):
    """Returns other logits at each pass, in turn."""

    def __init__(self):
        super().__init__()
        self.logits = itertools.cycle([(20.0, 0.0), (0.0, 2.0), (0.0, 2.0)])

    def forward(self, images):
        return torch.tensor(next(self.logits)).expand(len(images), 2) + 0 * images.sum()


def test_several_draws_classify_by_the_mean_softmax():
    """Mean softmax of class 0: (1 + 2 / (1 + e^2)) / 3 = 0.413; the mean logits, 6.7 and 1.3, would choose class 0."""
    oracle = Oracle(InTurn(), GradientHealth(3, torch.device("cpu")), draws=3)
    share = (1 + 2 / (1 + torch.e**2)) / 3
    expected = torch.tensor([[share, 1 - share]]).expand(3, 2)
    none = torch.zeros(3, 2)
    for logits in (oracle.logits(IMAGES), oracle.gradient(IMAGES, lambda _: none)[0]):
        torch.testing.assert_close(logits.exp(), expected)
        assert (logits.argmax(dim=1) == 1).all()


def test_a_step_to_the_boundary_is_measured_by_the_mean_of_the_logits():
    """Its length is a logit over the length of its gradient, and the gradient is the mean over draws."""
    oracle, none = Oracle(InTurn(), GradientHealth(3, torch.device("cpu")), draws=3), torch.zeros(1, 3, 2)
    logits, _ = oracle.gradients(IMAGES, lambda _: none)
    torch.testing.assert_close(logits, torch.tensor([[20 / 3, 4 / 3]]).expand(3, 2))
