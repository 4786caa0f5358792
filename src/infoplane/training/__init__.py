"""Training: one loop, and one file per method."""

from infoplane.training.adversarial import adversarial_training
from infoplane.training.loop import DivergedError, EpochRecord, Trainer
from infoplane.training.method import BatchLoss, LossMethod, StepRecord, TrainingMethod
from infoplane.training.normal import normal_training

__all__ = [
    "BatchLoss",
    "DivergedError",
    "EpochRecord",
    "LossMethod",
    "StepRecord",
    "Trainer",
    "TrainingMethod",
    "adversarial_training",
    "normal_training",
]
