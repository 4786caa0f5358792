"""L2PGD stays in its ball, climbs by the normalised gradient, and draws its starts uniformly."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from tests.attacks.test_pgd import Zero, batch, network, state
from torch import nn

from infoplane.attacks import L2PGD, AttackWarning
from infoplane.attacks.balls import L2Region


@given(
    epsilon=st.floats(0.01, 3.0),
    steps=st.integers(1, 4),
    random_start=st.booleans(),
    double=st.booleans(),
    seed=st.integers(0, 100),
)
def test_images_stay_in_the_ball_and_in_the_pixel_range(epsilon, steps, random_start, double, seed):
    images, labels = batch(dtype=torch.float64 if double else torch.float32)
    with torch.random.fork_rng():
        model = network(seed).eval().to(images.dtype)
    attack = L2PGD(epsilon=epsilon, steps=steps, random_start=random_start)
    attacked = attack(model, images, labels, generator=torch.Generator().manual_seed(seed))
    assert (attacked - images).flatten(1).norm(dim=1).max() <= epsilon * (1 + 1e-6) + 1e-7
    assert 0 <= attacked.min() <= attacked.max() <= 1
    assert attacked.dtype == images.dtype
    assert not attacked.requires_grad


def test_on_a_linear_model_the_optimum_lies_along_the_weights(generator):
    # For logits (w.x, 0) the loss of class 0 falls with w.x: the optimum in the ball is x - epsilon w / |w|.
    weight = torch.randn(64, generator=torch.Generator().manual_seed(5))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    with torch.no_grad():
        linear[1].weight.copy_(torch.stack([weight, torch.zeros(64)]))
    images = torch.full((2, 1, 8, 8), 0.5)
    attacked = L2PGD(epsilon=0.4, steps=4)(linear, images, torch.tensor([0, 1]), generator=generator)
    step = 0.4 * (weight / weight.norm()).reshape(1, 8, 8)
    assert torch.allclose(attacked[0], images[0] - step, atol=1e-6)
    assert torch.allclose(attacked[1], images[1] + step, atol=1e-6)


def test_each_step_agrees_with_a_loop_over_single_images(generator):
    model, (images, labels) = network().eval(), batch()
    found = L2PGD(epsilon=0.5, steps=3, step_size=0.3)(model, images, labels, generator=generator)
    for image, label, result in zip(images, labels, found, strict=True):
        expected = image.clone()
        for _ in range(3):
            expected.requires_grad_(True)
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(expected[None]), label[None]), expected)
            moved = expected.detach() + 0.3 * gradient / gradient.norm()
            change = moved - image
            expected = (image + change * min(1.0, 0.5 / change.norm().item())).clamp(0, 1)
        assert torch.allclose(result, expected, atol=1e-5)


def test_starts_fill_the_ball_by_volume():
    images = torch.full((4000, 1, 2, 2), 0.5)
    points = L2Region(images, 0.2).random_point(torch.Generator().manual_seed(0))
    share = ((points - images).flatten(1).norm(dim=1) < 0.1).double().mean().item()
    assert share == pytest.approx(0.5**4, abs=0.012)  # four pixels: half the radius holds a sixteenth of the volume


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_found(training, generator):
    with torch.random.fork_rng():
        model = network().train(training)
    before = state(model)
    L2PGD(epsilon=0.5, steps=2, random_start=True)(model, *batch(), generator=generator)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_an_image_without_a_gradient_stays_where_it_is(generator):
    images, labels = batch()
    with pytest.warns(AttackWarning, match="all-zero gradients"):
        attacked = L2PGD(epsilon=0.5, steps=2)(Zero(), images, labels, generator=generator)
    assert torch.equal(attacked, images)


def test_the_target_is_approached(generator):
    with torch.random.fork_rng():
        model = network().eval()
    images, labels = batch()
    target = (labels + 1) % 3
    attacked = L2PGD(epsilon=1.0, steps=5)(model, images, labels, generator=generator, target=target)
    with torch.no_grad():
        assert F.cross_entropy(model(attacked), target) < F.cross_entropy(model(images), target)
