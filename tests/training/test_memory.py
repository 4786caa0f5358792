"""Memory stays where it is, epoch after epoch."""

import gc
from pathlib import Path

import pytest
import torch

from infoplane.acceleration import PLAIN, Choices
from infoplane.attacks import LinfPGD
from infoplane.config import TrainingConfig
from infoplane.models import LeNet5, construct
from infoplane.training import (
    AWPTraining,
    FreeTraining,
    GuardedTraining,
    Trainer,
    Validation,
    YOPOTraining,
    adversarial_training,
    fgsm_rs_training,
    guard_attack,
)

PGD = LinfPGD(epsilon=0.1, steps=2, random_start=True)
METHODS = {
    "adversarial": lambda: adversarial_training(PGD),
    "free": lambda: FreeTraining(0.1, replays=2),
    "yopo": lambda: YOPOTraining(PGD, rounds=2, steps=2),
    "guarded": lambda: GuardedTraining(fgsm_rs_training(0.1), guard_attack(0.1)),
    "awp": lambda: AWPTraining(adversarial_training(PGD), gamma=0.01),
}
PAGE = 4096


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def tensors() -> int:
    gc.collect()
    return sum(issubclass(type(one), torch.Tensor) for one in gc.get_objects())  # isinstance would ask the object


@pytest.mark.parametrize("choices", [PLAIN, Choices(precision="bf16")], ids=["plain", "accelerated"])
@pytest.mark.parametrize("name", METHODS)
def test_thirty_epochs_take_no_more_than_six(name, choices):
    images = torch.randint(0, 256, (64, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(64) % 10
    settings = TrainingConfig(epochs=30, batch_size=32, learning_rate=1e-4, average_decay=0.9)
    model = construct(LeNet5, seed=0).to(memory_format=torch.channels_last)
    trainer = Trainer(
        model, METHODS[name](), images, labels, settings, seed=0, training=name, choices=choices,
        validation=Validation(images[:32], labels[:32], PGD),
    )  # fmt: skip
    for _ in range(6):
        trainer.train_epoch()
    count, size = tensors(), resident_bytes()
    for _ in range(24):
        trainer.train_epoch()
    assert tensors() <= count
    assert resident_bytes() - size < 8 * 2**20  # the activations of 24 batches would be some 120 MB
