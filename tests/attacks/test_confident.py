"""Where float32 rounds a gradient or its square to zero or infinity, images are attacked all the same."""

import math

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from infoplane.attacks import L2PGD, LinfPGD
from infoplane.attacks.balls import L2Region
from infoplane.attacks.goal import Goal
from infoplane.models import construct
from infoplane.training.mart import boosted_cross_entropy
from infoplane.training.trades import divergence, raise_divergence


class Scaled(nn.Module):
    """A network whose logits are multiplied: it classifies the same, as surely as one likes."""

    def __init__(self, network: nn.Module, scale: float) -> None:
        super().__init__()
        self.network, self.scale = network, scale

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images) * self.scale


@pytest.fixture(scope="module")
def trained():
    """A small network that learned scikit-learn's digits, with images and labels."""
    digits = load_digits()
    images = torch.as_tensor(digits.images, dtype=torch.float32)[:, None] / 16
    labels = torch.as_tensor(digits.target)
    model = construct(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), seed=0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(100):
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()
    return model.eval(), images[:500], labels[:500]


@pytest.mark.parametrize(("kind", "epsilon"), [(L2PGD, 0.6), (LinfPGD, 0.12)])
@pytest.mark.parametrize("scale", [20.0, 1e4])
def test_robust_accuracy_does_not_depend_on_how_sure_the_model_is(trained, kind, epsilon, scale, generator):
    network, images, labels = trained

    def robust_accuracy(model: nn.Module) -> float:
        attacked = kind(epsilon=epsilon, steps=10)(model, images, labels, generator=generator)
        return (model(attacked).argmax(dim=1) == labels).double().mean().item()

    assert robust_accuracy(Scaled(network, scale)) == pytest.approx(robust_accuracy(network), abs=0.08)


@pytest.mark.parametrize("kind", [L2PGD, LinfPGD])
@pytest.mark.parametrize("bias", [0.0, 60.0, 1000.0])
def test_an_image_moves_as_far_as_it_may_however_sure_the_model_is(kind, bias, generator):
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        linear[1].weight.copy_(torch.tensor([[1.0], [-1.0]]).expand(2, 64) / 64)
        linear[1].bias.copy_(torch.tensor([bias, 0.0]))
    images, labels = torch.full((1, 1, 8, 8), 0.5), torch.tensor([0])
    epsilon = 0.5 if kind is L2PGD else 0.1
    attacked = kind(epsilon=epsilon, steps=3)(linear, images, labels, generator=generator)
    length = (attacked - images).norm() if kind is L2PGD else (attacked - images).abs().max()
    assert length.item() == pytest.approx(epsilon, rel=1e-5)
    assert (attacked < images).all()


@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [3, 3, 0, 1]])
def test_the_direction_is_that_of_the_cross_entropy_in_double_precision(labels, generator):
    logits = (6 * torch.randn(4, 5, generator=generator)).double().requires_grad_()
    labels = torch.tensor(labels)
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, labels, reduction="sum"), logits)
    unsure = 1 - logits.detach().softmax(dim=1).gather(1, labels[:, None])
    found = Goal(labels, targeted=False).cross_entropy(logits.detach())
    torch.testing.assert_close(found, gradient / unsure, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(Goal(labels, targeted=True).cross_entropy(logits.detach()), -found)


@pytest.mark.parametrize("scale", [1.0, 20.0, 300.0])
def test_the_direction_of_the_divergence_is_its_gradient_in_double_precision_scaled_per_image(scale, generator):
    clean = scale * torch.randn(6, 5, generator=generator)
    logits = clean + 0.1 * torch.randn(6, 5, generator=generator)
    before, after = (one.double().log_softmax(dim=1) for one in (clean, logits))
    others = torch.ones_like(before).scatter(1, clean.argmax(dim=1, keepdim=True), 0.0).bool()
    # Both probabilities relative to the largest of those of the classes that the model is not sure of.
    largest = torch.maximum(before, after).masked_fill(~others, -math.inf).amax(dim=1, keepdim=True)
    expected = ((after - largest).exp() - (before - largest).exp()).where(others, 0.0)
    expected = expected.where(others, -expected.sum(dim=1, keepdim=True))
    found = raise_divergence(clean)(logits)
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=1e-3)
    if scale == 1.0:
        variable = logits.double().requires_grad_()
        (gradient,) = torch.autograd.grad(divergence(clean.double(), variable).sum(), variable)
        assert torch.allclose(F.cosine_similarity(gradient, expected), torch.ones(6, dtype=torch.double))


@pytest.mark.parametrize("scale", [1e-44, 1e-40, 1e-25, 1.0, 1e25, 3e38])
def test_steps_in_the_l2_ball_have_their_length_whatever_the_gradient_s(scale):
    images = torch.full((2, 1, 2, 2), 0.5)
    gradient = torch.tensor([[1.0, 1.0, -1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2) * scale
    moved = L2Region(images, 0.2).step_(images.clone(), gradient, 0.1) - images
    assert moved[0].flatten().tolist() == pytest.approx([0.05, 0.05, -0.05, 0.05], rel=1e-4)
    assert not moved[1].any()


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_gradient_that_is_not_finite_moves_nothing_in_the_l2_ball(broken):
    images = torch.full((1, 1, 2, 2), 0.5)
    gradient = torch.tensor([1.0, broken, 0.0, 1.0]).view(1, 1, 2, 2)
    assert torch.equal(L2Region(images, 0.2).step_(images.clone(), gradient, 0.1), images)


def test_the_divergence_of_trades_has_finite_gradients_at_large_logits(generator):
    clean, attacked = (300 * torch.randn(8, 10, generator=generator) for _ in range(2))
    clean.requires_grad_()
    attacked.requires_grad_()
    value = divergence(clean, attacked).mean()
    value.backward()
    assert value.isfinite()
    assert clean.grad.isfinite().all()
    assert attacked.grad.isfinite().all()


@pytest.mark.parametrize("margin", [1.0, 20.0, 300.0])
def test_mart_s_margin_term_keeps_its_gradient_where_the_model_is_sure_and_wrong(margin):
    logits = torch.tensor([[0.0, margin, 0.0]], requires_grad=True)
    value = boosted_cross_entropy(logits, torch.tensor([0]))
    value.backward()
    precise = torch.tensor([[0.0, margin, 0.0]], dtype=torch.double)
    log_p = precise.log_softmax(dim=1)[0]
    assert value.item() == pytest.approx((-log_p[0] - torch.logsumexp(log_p[[0, 2]], dim=0)).item(), rel=1e-5)
    assert logits.grad[0, 1] > 0.9 if margin > 10 else logits.grad[0, 1] > 0
    assert logits.grad[0, 1].item() == pytest.approx(2 * log_p[1].exp().item(), rel=1e-4)
