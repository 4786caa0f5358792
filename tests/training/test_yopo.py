"""YOPO splits the network where it says, and its gradient is the one of its definition."""

import pytest
import torch
import torch.nn.functional as F
from tests.models.small_networks import NAMES, narrow
from tests.training.networks import assert_moved_by, batch, network, project, seeded, sgd, uniform_start
from torch import Tensor, nn

from infoplane.attacks import LinfPGD
from infoplane.training import YOPOTraining
from infoplane.training.split import SplitNetwork, is_affine

EPSILON, SIZE = 0.1, 0.04


def reference(rounds: int, steps: int, curved: bool = False) -> list[Tensor]:
    """Gradients of conv, norm and linear by the algorithm written out, without hooks."""
    model, (images, labels) = network(), batch()
    if curved:
        model.conv.register_forward_pre_hook(bend)
    attacked = uniform_start(images, EPSILON, seeded())
    rest = [*model.norm.parameters(), *model.linear.parameters()]
    first = list(model.conv.parameters())
    totals = [torch.zeros_like(parameter) for parameter in [*first, *rest]]
    for _ in range(rounds):
        features = model.conv(2 * attacked - 1).detach().requires_grad_()
        logits = model.linear(torch.relu(model.norm(features)).flatten(1))
        slope, *of_rest = torch.autograd.grad(F.cross_entropy(logits, labels), [features, *rest])
        for _ in range(steps):
            attacked = attacked.detach().requires_grad_()
            product = (slope * model.conv(2 * attacked - 1)).sum()
            (gradient,) = torch.autograd.grad(product, attacked)
            attacked = project(attacked.detach() + SIZE * gradient.sign(), images, EPSILON)
        of_first = torch.autograd.grad((slope * model.conv(2 * attacked - 1)).sum(), first)
        for total, own in zip(totals, [*of_first, *of_rest], strict=True):
            total += own / rounds
    return totals


def bend(layer: nn.Module, given: tuple[Tensor, ...]) -> Tensor:
    """Something before the first layer that is not affine: its gradient changes on the way."""
    return torch.sin(6 * given[0])


@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize(("rounds", "steps"), [(1, 1), (2, 3), (5, 3)])
def test_the_update_is_the_mean_over_rounds(rounds, steps, curved):
    model = network()
    if curved:
        model.conv.register_forward_pre_hook(bend)
    attack = LinfPGD(epsilon=EPSILON, steps=7, step_size=SIZE)
    YOPOTraining(attack, rounds=rounds, steps=steps).step(model, sgd(model), *batch(), generator=seeded())
    assert_moved_by(model, network(), reference(rounds, steps, curved))


def test_where_nothing_can_move_the_update_is_the_plain_gradient():
    """An independent truth: in a ball of no size all rounds are one, and the split gradient is that of the whole."""
    model, expected, (images, labels) = network(), network(), batch()
    attack = LinfPGD(epsilon=1e-9, steps=1)
    YOPOTraining(attack, rounds=3, steps=2).step(model, sgd(model), images, labels, generator=seeded())
    loss = F.cross_entropy(expected(images), labels)
    gradients = torch.autograd.grad(loss, list(expected.parameters()))
    for moved, start, gradient in zip(model.parameters(), network().parameters(), gradients, strict=True):
        assert torch.allclose(moved, start - 0.1 * gradient, atol=1e-6)


def test_the_first_layers_gradient_agrees_with_finite_differences():
    model, (images, labels) = network(), batch()
    split = SplitNetwork(model)
    logits, _, features = split.whole(images)
    F.cross_entropy(logits, labels).backward()
    moved = project(images + 0.05, images, EPSILON)
    (found,) = torch.autograd.grad((features.grad * split.first(moved)).sum(), model.conv.weight)
    with torch.no_grad():
        for place in [(0, 0, 0, 0), (3, 0, 2, 1)]:
            values = []
            for sign in (1, -1):
                model.conv.weight[place] += sign * 1e-6
                values.append((features.grad * split.first(moved)).sum())
                model.conv.weight[place] -= sign * 1e-6
            assert found[place].item() == pytest.approx((values[0] - values[1]).item() / 2e-6, rel=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_our_networks_split_at_their_first_layer(name):
    model = narrow(name, image_size=28, channels=1).float()
    images = torch.rand(2, 1, 28, 28)
    split = SplitNetwork(model)
    logits, first, features = split.whole(images.requires_grad_())
    layer = dict(model.named_modules())[model.first_layer]
    assert is_affine(first, images) == isinstance(layer, nn.Conv2d)  # linear layers are not recognised
    assert torch.equal(first, features)
    assert torch.equal(logits, model(images))
    assert torch.equal(features, split.first(images))
    assert split.first_parameters == list(layer.parameters())
    assert not layer._forward_hooks


def test_without_a_name_the_first_convolution_or_linear_layer_is_taken():
    model = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(64, 5), nn.Linear(5, 3))
    assert SplitNetwork(model).first_parameters == list(model[2].parameters())


def test_a_network_without_layers_is_refused():
    with pytest.raises(ValueError, match="has no first layer None; set its attribute first_layer"):
        SplitNetwork(nn.Flatten())


class Skipping(nn.Module):
    """Images reach the logits past the first layer."""

    first_layer = "conv"

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return (self.conv(images) + images).flatten(1)[:, :3]


class Twice(Skipping):
    """The first layer is called twice."""

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(self.conv(images)).flatten(1)[:, :3]


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Skipping, "images reach the logits past the first layer, conv"),
        (Twice, "the first layer, conv, must be called once per pass, not 2 times"),
    ],
)
def test_a_network_that_does_not_split_is_refused(factory, message):
    model = factory().double()
    method = YOPOTraining(LinfPGD(epsilon=EPSILON, steps=1), rounds=2, steps=1)
    with pytest.raises(ValueError, match=message):
        method.step(model, sgd(model), *batch(), generator=seeded())


@pytest.mark.parametrize(
    ("function", "affine"),
    [
        (lambda x, w: F.conv2d((x - 0.1) / 0.5, w), True),
        (lambda x, w: F.conv2d(x.bfloat16(), w.bfloat16()), True),
        (lambda x, w: F.conv2d(2 * x + 1, w), True),
        (lambda x, w: F.conv2d(x * x, w), False),
        (lambda x, w: F.conv2d(x.clamp(0, 1), w), False),
        (lambda x, w: F.conv2d(1 / (x + 1), w), False),
        (lambda x, w: F.conv2d(x / x.mean(), w), False),
        (lambda x, w: F.conv2d(x, w * x.mean()), False),
        (lambda x, w: F.conv2d(x, w) + F.conv2d(x, 2 * w), False),  # affine, but no chain: taken for curved, at a cost
        (lambda x, w: F.conv2d(x.detach(), w), False),
    ],
)
def test_affine_first_layers_are_told_from_others(function, affine):
    images, weights = torch.rand(2, 1, 5, 5, requires_grad=True), torch.rand(1, 1, 3, 3, requires_grad=True)
    assert is_affine(function(images, weights), images) == affine
