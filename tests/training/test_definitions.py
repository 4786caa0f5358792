"""Each method's update is the one of its paper: compared with the loop written out, in float64."""

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import (
    assert_moved_by,
    assert_same_weights,
    batch,
    network,
    project,
    seeded,
    sgd,
    uniform_start,
)
from torch import Tensor, nn

from infoplane.attacks import L2PGD, LinfPGD
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.training import (
    AWPTraining,
    FreeLBTraining,
    FreeTraining,
    adversarial_training,
    ensemble_training,
    fgsm_rs_training,
    fgsm_training,
    mart_training,
    normal_training,
    trades_training,
)

EPSILON = 0.1


def weight_gradients(loss: Tensor, model: nn.Module) -> list[Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def pixel_gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    images = images.detach().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(model(images), labels), images)[0]


def kl(clean: Tensor, attacked: Tensor) -> Tensor:
    p = clean.softmax(1)
    return (p * (p.log() - attacked.softmax(1).log())).sum(1)


def pgd(model: nn.Module, start: Tensor, images: Tensor, labels: Tensor, steps: int, size: float) -> Tensor:
    with evaluation_mode(model):
        for _ in range(steps):
            start = project(start + size * pixel_gradient(model, start, labels).sign(), images, EPSILON)
    return start


def test_normal_training_descends_the_cross_entropy():
    model, expected, (images, labels) = network(), network(), batch()
    record = normal_training().step(model, sgd(model), images, labels, generator=seeded())
    loss = F.cross_entropy(expected(images), labels)
    assert_moved_by(model, expected, weight_gradients(loss, expected))
    assert record.loss.item() == pytest.approx(loss.item())
    assert record.correct == (network()(images).argmax(1) == labels).sum()


def test_adversarial_training_descends_at_attacked_images_alone():
    model, expected, (images, labels) = network(), network(), batch()
    attack = LinfPGD(epsilon=EPSILON, steps=3, step_size=0.05, random_start=True)
    adversarial_training(attack).step(model, sgd(model), images, labels, generator=seeded())
    attacked = pgd(expected, uniform_start(images, EPSILON, seeded()), images, labels, 3, 0.05)
    assert_moved_by(model, expected, weight_gradients(F.cross_entropy(expected(attacked), labels), expected))


def test_fgsm_training_weighs_original_and_attacked_images_alike():
    model, expected, (images, labels) = network(), network(), batch()
    fgsm_training(EPSILON).step(model, sgd(model), images, labels, generator=seeded())
    attacked = pgd(expected, images, images, labels, 1, EPSILON)
    loss = F.cross_entropy(expected(images), labels) / 2 + F.cross_entropy(expected(attacked), labels) / 2
    assert_moved_by(model, expected, weight_gradients(loss, expected))


def test_fgsm_rs_takes_one_long_step_from_a_random_start():
    model, expected, (images, labels) = network(), network(), batch()
    fgsm_rs_training(EPSILON).step(model, sgd(model), images, labels, generator=seeded())
    attacked = pgd(expected, uniform_start(images, EPSILON, seeded()), images, labels, 1, 1.25 * EPSILON)
    assert_moved_by(model, expected, weight_gradients(F.cross_entropy(expected(attacked), labels), expected))


def test_free_training_moves_weights_and_perturbation_by_one_backward_pass_and_keeps_the_perturbation():
    model, expected = network(), network()
    method, optimiser = FreeTraining(EPSILON, replays=3), sgd(model)
    batches = [batch(6, seed=1), batch(4, seed=3), batch(6, seed=4)]  # a short batch between two whole ones
    for images, labels in batches:
        record = method.step(model, optimiser, images, labels, generator=seeded())
    delta = torch.zeros(6, 1, 8, 8, dtype=torch.float64)
    descent = sgd(expected)
    for images, labels in batches:
        losses, rows = [], len(images)
        for _ in range(3):
            own = delta[:rows].clone().requires_grad_()
            loss = F.cross_entropy(expected((images + own).clamp(0, 1)), labels)
            descent.zero_grad()
            loss.backward()  # at the weights before they move
            descent.step()
            delta[:rows] = (delta[:rows] + EPSILON * own.grad.sign()).clamp(-EPSILON, EPSILON)
            losses.append(loss.item())
    assert_same_weights(model, expected)
    assert torch.allclose(method.state_dict()["perturbation"], delta)
    assert record.loss.item() == pytest.approx(sum(losses) / 3)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_freelb_descends_along_the_mean_of_the_gradients_on_its_way(norm):
    model, expected, (images, labels) = network(), network(), batch()
    attack = LinfPGD(epsilon=EPSILON, steps=4) if norm == "linf" else L2PGD(epsilon=0.5, steps=4)
    FreeLBTraining(attack).step(model, sgd(model), images, labels, generator=seeded())
    attacked = attack.region(images).random_point(seeded())
    gradients = [torch.zeros_like(parameter) for parameter in expected.parameters()]
    for _ in range(4):
        attacked = attacked.detach().requires_grad_()
        loss = F.cross_entropy(expected(attacked), labels)
        *own, slope = torch.autograd.grad(loss, [*expected.parameters(), attacked])
        gradients = [total + one / 4 for total, one in zip(gradients, own, strict=True)]
        moved = []
        for image, start, direction in zip(images, attacked.detach(), slope, strict=True):
            if norm == "linf":
                step = start + attack.step_size * direction / direction.abs().max()
                moved.append(project(step, image, EPSILON))
            else:
                change = start + attack.step_size * direction / direction.norm() - image
                moved.append((image + change * min(1.0, 0.5 / change.norm().item())).clamp(0, 1))
        attacked = torch.stack(moved)
    assert_moved_by(model, expected, gradients)


def test_freelb_keeps_its_dropout_masks_in_all_passes():
    masks: list[Tensor] = []
    model = network(dropout=0.5)
    model.dropout.register_forward_hook(lambda module, args, output: masks.append(output.ne(0) | args[0].eq(0)))
    FreeLBTraining(LinfPGD(epsilon=EPSILON, steps=3)).step(model, sgd(model), *batch(), generator=seeded())
    both = [one & ~masks[0] for one in masks]  # dropped in the first pass, alive in another
    alive = sum(int(one.sum()) for one in both) / masks[0].numel()
    assert alive < 0.05  # only where the activation itself was zero once


def test_trades_descends_through_both_sides_of_the_divergence():
    model, expected, (images, labels) = network(), network(), batch()
    attack = LinfPGD(epsilon=EPSILON, steps=3, step_size=0.05)
    trades_training(attack, beta=6).step(model, sgd(model), images, labels, generator=seeded())
    noise = torch.randn(images.shape, generator=seeded(), dtype=images.dtype)
    attacked = project(images + 0.001 * noise, images, EPSILON)
    with evaluation_mode(expected):
        clean = expected(images).detach()
        for _ in range(3):
            attacked = attacked.detach().requires_grad_()
            (slope,) = torch.autograd.grad(kl(clean, expected(attacked)).sum(), attacked)
            attacked = project(attacked.detach() + 0.05 * slope.sign(), images, EPSILON)
    clean = expected(images)
    loss = F.cross_entropy(clean, labels) + 6 * kl(clean, expected(attacked)).mean()
    gradients = weight_gradients(loss, expected)
    assert_moved_by(model, expected, gradients)
    one_sided = network()
    clean = one_sided(images)
    loss = F.cross_entropy(clean, labels) + 6 * kl(clean.detach(), one_sided(attacked)).mean()
    assert any(
        not torch.allclose(a, b, atol=1e-4) for a, b in zip(weight_gradients(loss, one_sided), gradients, strict=True)
    )


def test_mart_descends_its_formula():
    model, expected, (images, labels) = network(), network(), batch()
    attack = LinfPGD(epsilon=EPSILON, steps=3, step_size=0.05, random_start=True)
    mart_training(attack, weight=5).step(model, sgd(model), images, labels, generator=seeded())
    attacked = pgd(expected, uniform_start(images, EPSILON, seeded()), images, labels, 3, 0.05)
    worst, clean = expected(attacked).softmax(1), expected(images).softmax(1)
    loss = torch.zeros((), dtype=torch.float64)
    for row, known, label in zip(worst, clean, labels, strict=True):
        rival = max(row[other] for other in range(3) if other != label)
        boosted = -torch.log(row[label]) - torch.log(1 - rival)
        divergence = (known * (known / row).log()).sum()
        loss = loss + (boosted + 5 * divergence * (1 - known[label])) / len(labels)
    assert_moved_by(model, expected, weight_gradients(loss, expected))


@pytest.mark.parametrize("seed", range(6))
def test_ensemble_training_attacks_a_network_drawn_for_each_batch(seed):
    class Fixed(nn.Module):
        def __init__(self, sign: float) -> None:
            super().__init__()
            self.sign = sign

        def forward(self, images: Tensor) -> Tensor:
            return F.pad(self.sign * images.flatten(1).sum(1, keepdim=True), (0, 2))

    sources = [Fixed(1.0), Fixed(-1.0)]
    model, (images, labels) = network(), batch()
    drawn = int(torch.randint(3, (), generator=seeded(seed)))
    expected = network()
    ensemble_training(sources, EPSILON).step(model, sgd(model), images, labels, generator=seeded(seed))
    attacked = pgd([*sources, expected][drawn], images, images, labels, 1, EPSILON)
    loss = F.cross_entropy(expected(images), labels) / 2 + F.cross_entropy(expected(attacked), labels) / 2
    assert_moved_by(model, expected, weight_gradients(loss, expected))


def test_ensemble_training_needs_a_source():
    with pytest.raises(ValueError, match="at least one source"):
        ensemble_training([], EPSILON)


def moved_against(model: nn.Module, gradients: list[Tensor], gamma: float) -> nn.Module:
    with torch.no_grad():
        for weights, gradient in zip(model.parameters(), gradients, strict=True):
            if weights.ndim > 1:
                weights += gamma * weights.norm() / gradient.norm() * gradient
    return model


@pytest.mark.parametrize("inner", ["adversarial", "freelb"])
def test_awp_descends_by_the_gradient_at_moved_weights(inner):
    images, labels = batch()
    attack = LinfPGD(epsilon=EPSILON, steps=2, step_size=0.06, random_start=True)
    model = network()
    method = adversarial_training(attack) if inner == "adversarial" else FreeLBTraining(attack)
    AWPTraining(method, gamma=0.1).step(model, sgd(model), images, labels, generator=seeded())

    def gradients(of: nn.Module) -> list[Tensor]:
        if inner == "freelb":  # attacks while it steps: its own update shows its gradient
            twin = network()
            twin.load_state_dict(of.state_dict())
            before = [parameter.detach().clone() for parameter in twin.parameters()]
            FreeLBTraining(attack).step(twin, sgd(twin, 1.0), images, labels, generator=seeded())
            return [a - b.detach() for a, b in zip(before, twin.parameters(), strict=True)]
        return weight_gradients(F.cross_entropy(of(attacked), labels), of)

    attacked = pgd(network(), uniform_start(images, EPSILON, seeded()), images, labels, 2, 0.06)  # once, at w
    moved = moved_against(network(), gradients(network()), 0.1)
    assert_moved_by(model, network(), gradients(moved))


def test_awp_perturbs_every_replay_of_free_training():
    model, expected, (images, labels) = network(), network(), batch()
    AWPTraining(FreeTraining(EPSILON, replays=2), gamma=0.1).step(model, sgd(model), images, labels, generator=seeded())
    shift = [torch.zeros_like(weights) for weights in expected.parameters()]
    delta = torch.zeros_like(images)
    start = network()
    gradients = weight_gradients(F.cross_entropy(start(images), labels), start)
    for place, (weights, gradient) in enumerate(zip(network().parameters(), gradients, strict=True)):
        if weights.ndim > 1:
            shift[place] = (0.1 * weights.norm() / gradient.norm() * gradient).detach()
    for _ in range(2):
        own = delta.clone().requires_grad_()
        with torch.no_grad():
            for weights, change in zip(expected.parameters(), shift, strict=True):
                weights += change
        loss = F.cross_entropy(expected((images + own).clamp(0, 1)), labels)
        *slopes, pixel = torch.autograd.grad(loss, [*expected.parameters(), own])
        with torch.no_grad():
            for weights, change, slope in zip(expected.parameters(), shift, slopes, strict=True):
                weights -= change + 0.1 * slope
        delta = (delta + EPSILON * pixel.sign()).clamp(-EPSILON, EPSILON)
    assert_same_weights(model, expected)
