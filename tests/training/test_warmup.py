"""The ball of a method grows over its first steps, whatever the method keeps, and a continued run goes on growing."""

from typing import Any

import pytest
import torch
from tests.training.networks import network
from torch import nn

from infoplane.config import FlowConfig
from infoplane.studies.flow.trainers import build_method, warmup_steps
from infoplane.training import EpsilonWarmup, GuardedTraining, StepRecord
from infoplane.training.catalogue import METHODS
from infoplane.training.method import Stateless
from infoplane.training.named import named_training

IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 3


class Counting(Stateless):
    """Writes down the share that it was built with, and keeps a count."""

    def __init__(self, share: float, seen: list[float]) -> None:
        self.share, self.seen, self.count = share, seen, 0

    def step(self, model, optimiser, images, labels, *, generator) -> StepRecord:
        self.seen.append(self.share)
        self.count += 1
        return StepRecord(torch.tensor(0.0), torch.tensor(0), 0, 0)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def stepped(method, steps: int) -> None:
    model = nn.Linear(1, 1)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        method.step(model, optimiser, IMAGES, LABELS, generator=torch.Generator())


def test_the_radius_rises_in_a_straight_line_and_then_stays_full():
    seen: list[float] = []
    stepped(EpsilonWarmup(lambda share: Counting(share, seen), 4), 6)
    assert seen == [0.25, 0.5, 0.75, 1, 1, 1]


def test_what_a_method_keeps_survives_the_growth_and_a_checkpoint():
    seen: list[float] = []
    first = EpsilonWarmup(lambda share: Counting(share, seen), 4)
    stepped(first, 2)
    continued = EpsilonWarmup(lambda share: Counting(share, seen), 4)
    continued.load_state_dict(first.state_dict())
    stepped(continued, 3)
    assert seen == [0.25, 0.5, 0.75, 1, 1]
    assert continued.state_dict() == {"steps": 5, "method": {"count": 5}}


def settings(**training) -> FlowConfig:
    config = FlowConfig()
    return config.model_copy(update={"training": config.training.model_copy(update=training)})


@pytest.mark.parametrize("name", [*(spec.name for spec in METHODS if spec.attacks), "trades+awp"])
def test_every_method_that_attacks_begins_with_small_perturbations(name):
    """In the first of 1,000 steps no image moves by more than a thousandth of the radius, in any pass."""
    config, farthest = settings(), [0.0]
    epsilon = config.attack.epsilon
    sources = [network(dtype=torch.float32)]
    method = build_method(named_training(name, config), config, sources, warmup_steps=1000)
    assert isinstance(method.replays, int)
    model = network(dtype=torch.float32)

    def watch(module, arguments):
        moved = (arguments[0].detach().reshape(IMAGES.shape) - IMAGES).abs().max().item()
        farthest[0] = max(farthest[0], moved)

    handle = model.register_forward_pre_hook(watch)
    model.train()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    method.step(model, optimiser, IMAGES, LABELS, generator=torch.Generator().manual_seed(0))
    handle.remove()
    # TRADES starts at noise of a fixed standard deviation, projected into the ball like everything else
    assert farthest[0] <= epsilon * 1e-3 * 1.01 + 1e-7


def test_normal_training_has_no_ball_and_no_warm_up_builds_the_method_itself():
    normal, adversarial = (named_training(name, settings()) for name in ("normal", "adversarial"))
    assert not isinstance(build_method(normal, settings(), [], warmup_steps=5), EpsilonWarmup)
    assert not isinstance(build_method(adversarial, settings(), []), EpsilonWarmup)


def test_the_guard_checks_at_the_full_radius_from_the_first_epoch_on():
    method = build_method(named_training("fgsm-rs", settings()), settings(), [], warmup_steps=1000)
    assert isinstance(method, GuardedTraining)
    assert method._attack.epsilon == settings().attack.epsilon


@pytest.mark.parametrize(
    ("epochs", "images", "replays", "expected"),
    [(1.0, 100, 1, 13), (2.5, 100, 1, 32), (1.0, 100, 4, 4), (0, 100, 1, 0)],
)
def test_the_warm_up_takes_the_steps_of_its_epochs(epochs, images, replays, expected):
    assert warmup_steps(settings(warmup_epochs=epochs, batch_size=8), images, replays) == expected
