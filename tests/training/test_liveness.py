"""A training at chance is told from one that learns slowly, is certain of itself, or cannot be judged yet."""

import math

import pytest
import torch
from torch import Tensor, nn

from infoplane.config import TrainingConfig
from infoplane.training import Trainer, loop, normal_training
from infoplane.training.liveness import constant_accuracy, liveness

LABELS = torch.arange(400) % 4
# Class c is a bright column c: what a linear network learns in a few updates.
IMAGES = torch.zeros(400, 1, 4, 4, dtype=torch.uint8)
IMAGES[torch.arange(400), 0, :, LABELS] = 255


class Dead(nn.Module):
    """A network whose ReLU never opens: only its last bias learns."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(16, 8), nn.Linear(8, 4)
        nn.init.constant_(self.hidden.bias, -100.0)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.hidden(images.flatten(1)).relu())


def alive() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4))


def trained(model: nn.Module, epochs: int, labels: Tensor = LABELS, planned: int = 0, **settings) -> Trainer:
    config = TrainingConfig(**{"epochs": planned or epochs, "batch_size": 8, "learning_rate": 0.1} | settings)
    trainer = Trainer(model, normal_training(), IMAGES, labels, config, seed=0, training="normal")
    for _ in range(epochs):
        trainer.train_epoch()
    return trainer


def test_a_dead_network_is_at_chance_after_the_warm_up_and_one_further_epoch():
    trainer = trained(Dead(), 1, planned=5, warmup_epochs=1)
    assert trainer.at_chance is None
    record = trainer.train_epoch()
    assert record.at_chance == trainer.at_chance
    assert "where a constant answer reaches 31.5%; 400 of 400 images have all-zero gradients" in record.at_chance
    assert (trainer.updates, trainer.is_dead) == (100, False)  # it may only be at its beginning


def test_without_a_warm_up_the_first_epoch_is_judged():
    assert trained(Dead(), 1, warmup_epochs=0).at_chance is not None


def test_a_network_that_learns_is_not_at_chance():
    trainer = trained(alive(), 3)
    assert (trainer.at_chance, trainer.is_dead) == (None, False)


def test_a_network_that_dies_within_an_epoch_is_at_chance_although_it_was_right_before():
    found = liveness(Dead(), IMAGES, LABELS, accuracy=0.9, number=400)
    assert (found.silent, found.probed) == (400, 400)
    assert found.complaint() == "400 of 400 images have all-zero gradients"


def test_a_network_that_is_certain_of_itself_has_no_gradients_and_is_not_at_chance():
    model = alive()
    with torch.no_grad():
        model[1].weight.zero_()
        model[1].bias.zero_()
        for label in range(4):
            model[1].weight[label, label::4] = 1000.0
    found = liveness(model, IMAGES, LABELS, accuracy=1.0, number=400)
    assert found.silent == 400
    assert found.complaint() is None


def test_a_network_that_does_not_look_at_its_input_has_no_gradients():
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logits = nn.Parameter(torch.arange(4.0))

        def forward(self, images: Tensor) -> Tensor:
            return self.logits.expand(len(images), 4)

    assert liveness(Constant(), IMAGES, LABELS, accuracy=0.25, number=400).silent == 400


def test_a_network_at_chance_whose_gradients_live_is_still_at_chance():
    scrambled = LABELS[torch.randperm(400, generator=torch.Generator().manual_seed(0))]
    trainer = trained(alive(), 2, scrambled, learning_rate=0.01)
    assert trainer.at_chance is not None
    assert "gradients" not in trainer.at_chance


def test_looking_keeps_the_mode_of_every_module_and_leaves_no_gradients():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 4))
    model.train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    liveness(model, IMAGES, LABELS, accuracy=0.9, number=400)
    assert [module.training for module in model] == [True, False, True, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(("share", "number"), [(0.5, 10_000), (0.1124, 60_000)])
def test_a_constant_reaches_the_largest_class_and_three_binomial_errors(share, number):
    labels = (torch.arange(10_000) >= share * 10_000).long()
    labels[labels == 1] += torch.arange(int((labels == 1).sum())) % 9
    expected = share + 3 * math.sqrt(share * (1 - share) / number)
    assert constant_accuracy(labels, number) == pytest.approx(expected)


def test_of_few_examples_a_network_that_is_always_right_is_no_constant():
    assert constant_accuracy(torch.tensor([0, 1]), 2) == 0.75
    assert constant_accuracy(torch.zeros(5, dtype=torch.long), 5) == 0  # one class only


def test_few_updates_do_not_make_a_training_dead(monkeypatch):
    trainer = trained(Dead(), 2, warmup_epochs=1)
    for enough, expected in ((101, False), (100, True)):
        monkeypatch.setattr(loop, "ENOUGH_UPDATES", enough)
        assert trainer.is_dead is expected


def test_the_last_epoch_is_judged_within_a_warm_up_too_and_ends_nothing(monkeypatch):
    monkeypatch.setattr(loop, "ENOUGH_UPDATES", 1)
    trainer = trained(Dead(), 2, warmup_epochs=5)
    assert trainer.at_chance is not None
    assert not trainer.is_dead


def test_images_that_come_class_by_class_are_judged_by_all_classes():
    order = LABELS.argsort(stable=True)
    many = IMAGES[order].repeat_interleave(4, dim=0)
    labels = LABELS[order].repeat_interleave(4)
    found = liveness(Dead(), many, labels, accuracy=0.9, number=1600)  # it always answers one class
    assert found.probed == 512
    assert found.probed_at_chance


def test_one_cycle_and_epsilon_have_warm_ups_of_their_own_and_the_longer_counts():
    trainer = trained(Dead(), 3, schedule="one-cycle", warmup_epochs=3.0)
    trainer._settings = trainer._settings.model_copy(update={"epochs": 5})  # neither the last epoch nor warm
    assert trainer._how_at_chance(0.25, 400) is None


def test_the_state_is_kept_with_the_checkpoint():
    trainer = trained(Dead(), 2, warmup_epochs=0)
    other = trained(Dead(), 0)
    other.load_state_dict(trainer.state_dict())
    assert (other.at_chance, other.updates) == (trainer.at_chance, 100)
