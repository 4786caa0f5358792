"""The guard of single-step training: it stops a collapse and brings the weights before it back."""

import pytest
import torch
from torch import Tensor, nn

from infoplane.attacks import LinfPGD
from infoplane.config import TrainingConfig
from infoplane.models import LeNet5, construct
from infoplane.runs.state_tensors import join_state, split_state
from infoplane.training import GuardedTraining, Trainer, fgsm_rs_training, guard_attack, normal_training
from infoplane.training.method import Stateless, StepRecord

ATTACK = LinfPGD(epsilon=0.05, steps=2)
BRIGHT = torch.cat([torch.zeros(10, 1, 28, 28), torch.full((10, 1, 28, 28), 200)]).to(torch.uint8)
LABELS = torch.arange(20) // 10


class Scripted(Stateless):
    """Sets a brightness classifier's sharpness, epoch by epoch: 1 is robust, -1 is always wrong."""

    def __init__(self, *signs: float) -> None:
        self.signs = list(signs)

    def step(self, model, optimiser, images, labels, *, generator) -> StepRecord:
        with torch.no_grad():
            model.sign.fill_(self.signs[0])
        return StepRecord(torch.tensor(0.0), torch.tensor(len(images)), 0, 0)

    def end_epoch(self, model: nn.Module) -> str | None:
        self.signs.pop(0)


class Brightness(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.sign = nn.Parameter(torch.ones(1))

    def forward(self, images: Tensor) -> Tensor:
        score = self.sign * (images.flatten(1).mean(1, keepdim=True) - 0.4)
        return torch.cat([-score, score], dim=1)


def trained(*signs: float, epochs: int) -> Trainer:
    settings = TrainingConfig(epochs=epochs, batch_size=20)
    trainer = Trainer(
        Brightness(), GuardedTraining(Scripted(*signs), ATTACK), BRIGHT, LABELS, settings, seed=0, training="fgsm-rs"
    )
    for _ in range(epochs):
        trainer.train_epoch()
        if trainer.stopped:
            break
    return trainer


def test_a_collapse_stops_the_training_at_the_weights_before_it():
    trainer = trained(1.0, 2.0, -1.0, 1.0, epochs=4)
    assert trainer.epoch == 3
    assert trainer.stopped is not None
    assert "fell from 100.0% to 0.0% within one epoch (catastrophic overfitting)" in trainer.stopped
    assert trainer.model.sign.item() == 2.0


def test_without_a_collapse_nothing_happens():
    trainer = trained(1.0, 2.0, 3.0, epochs=3)
    assert (trainer.stopped, trainer.model.sign.item()) == (None, 3.0)


def test_a_network_that_was_never_robust_does_not_collapse():
    trainer = trained(-1.0, -2.0, epochs=2)
    assert (trainer.stopped, trainer.model.sign.item()) == (None, -2.0)


def test_the_guard_survives_a_continued_run():
    settings = TrainingConfig(epochs=4, batch_size=20)

    def fresh(*signs: float) -> Trainer:
        method = GuardedTraining(Scripted(*signs), ATTACK)
        return Trainer(Brightness(), method, BRIGHT, LABELS, settings, seed=0, training="fgsm-rs")

    first = fresh(1.0)
    first.train_epoch()
    continued = fresh(-1.0)
    continued.load_state_dict(join_state(*split_state(first.state_dict())))
    continued.train_epoch()
    assert continued.stopped is not None
    again = fresh(1.0)
    again.load_state_dict(join_state(*split_state(continued.state_dict())))
    assert again.stopped == continued.stopped


def test_the_check_disturbs_nothing():
    images = torch.randint(0, 256, (40, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    settings = TrainingConfig(epochs=2, batch_size=16)

    def weights(guarded: bool) -> list[Tensor]:
        method = fgsm_rs_training(0.1)
        if guarded:
            method = GuardedTraining(method, guard_attack(0.1))
        model = construct(LeNet5, seed=0)
        trainer = Trainer(model, method, images, torch.arange(40) % 10, settings, seed=0, training="fgsm-rs")
        trainer.train_epoch()
        trainer.train_epoch()
        return list(model.parameters())

    assert all(torch.equal(a, b) for a, b in zip(weights(True), weights(False), strict=True))


def test_the_reason_of_the_guarded_method_comes_first():
    class Ending(Stateless):
        step = normal_training().step

        def end_epoch(self, model: nn.Module) -> str | None:
            return "enough"

    assert GuardedTraining(Ending(), ATTACK).end_epoch(Brightness()) == "enough"


@pytest.mark.parametrize("drop", [0.15, 0.25])
def test_a_fifth_of_the_accuracy_is_the_border(drop, monkeypatch):
    method = GuardedTraining(Scripted(1.0, 1.0), ATTACK)
    model = Brightness()
    method.step(model, None, BRIGHT.float() / 255, LABELS, generator=torch.Generator())  # type: ignore[arg-type]
    accuracies = iter([0.9, 0.9 - drop])
    monkeypatch.setattr(GuardedTraining, "_robust_accuracy", lambda *_: next(accuracies))
    assert method.end_epoch(model) is None
    assert (method.end_epoch(model) is not None) == (drop > 0.2)
