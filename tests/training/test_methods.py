"""Every training method keeps the contract of `TrainingMethod`."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks import LinfPGD
from infoplane.modes import evaluation_mode
from infoplane.training import LossMethod, adversarial_training, normal_training

ATTACK = LinfPGD(epsilon=0.1, steps=3, random_start=True)
METHODS = {"normal": normal_training(), "adversarial": adversarial_training(ATTACK)}
ALL = pytest.mark.parametrize("name", METHODS)


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).train()


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3


def one_step(name: str, model: nn.Module):
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    return METHODS[name].step(model, optimiser, *batch(), generator=torch.Generator().manual_seed(2))


@ALL
def test_a_step_is_gradient_descent_on_the_loss_of_its_images(name):
    model, expected = network(), network()
    images, labels = batch()
    if name == "adversarial":
        with evaluation_mode(expected):
            images = ATTACK(expected, images, labels, generator=torch.Generator().manual_seed(2))
    loss = F.cross_entropy(expected(images), labels)
    gradients = torch.autograd.grad(loss, list(expected.parameters()))
    record = one_step(name, model)
    for moved, start, gradient in zip(model.parameters(), expected.parameters(), gradients, strict=True):
        assert torch.allclose(moved, start - 0.1 * gradient, atol=1e-7)
    assert record.loss.item() == pytest.approx(loss.item())
    assert record.correct == (expected(images).argmax(1) == labels).sum()


@ALL
def test_batch_statistics_move_once_per_step(name):
    model = network()
    one_step(name, model)
    assert model[1].num_batches_tracked == 1
    assert model.training


def test_counters_say_what_was_spent():
    normal, adversarial = one_step("normal", network()), one_step("adversarial", network())
    assert (normal.forward_evaluations, normal.gradient_evaluations) == (6, 6)
    assert (adversarial.forward_evaluations, adversarial.gradient_evaluations) == (6 * 4, 6 * 4)


def test_the_counters_of_adversarial_training_agree_with_counted_passes():
    model, calls = network(), []
    model.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    assert one_step("adversarial", model).forward_evaluations == sum(calls)


@ALL
def test_the_same_generator_gives_the_same_weights(name):
    first, second = network(), network()
    one_step(name, first)
    one_step(name, second)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@ALL
def test_a_step_leaves_the_images_alone(name):
    images, labels = batch()
    kept = images.clone()
    model = network()
    METHODS[name].step(
        model, torch.optim.SGD(model.parameters(), lr=0.1), images, labels, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(images, kept)
    assert not images.requires_grad


@ALL
def test_state_goes_out_and_comes_back(name):
    method = copy.deepcopy(METHODS[name])
    method.load_state_dict(METHODS[name].state_dict())
    method.end_epoch()
    assert method.state_dict() == METHODS[name].state_dict()


def test_a_loss_refuses_a_state_that_is_not_its_own():
    assert isinstance(METHODS["normal"], LossMethod)
    with pytest.raises(ValueError, match=r"keeps no state, got \['perturbation'\]"):
        METHODS["normal"].load_state_dict({"perturbation": torch.zeros(1)})
