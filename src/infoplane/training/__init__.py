"""Training: one loop, and one file per method."""

from infoplane.training.adversarial import adversarial_training
from infoplane.training.awp import AWPTraining
from infoplane.training.ensemble import ensemble_training
from infoplane.training.fast import GuardedTraining, fgsm_rs_training, guard_attack
from infoplane.training.fgsm import fgsm_training
from infoplane.training.free import FreeTraining
from infoplane.training.freelb import FreeLBTraining
from infoplane.training.loop import DivergedError, EpochRecord, Trainer
from infoplane.training.mart import mart_training
from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod, Stateless, StepRecord, TrainingMethod
from infoplane.training.normal import normal_training
from infoplane.training.schedules import learning_rate
from infoplane.training.trades import trades_training
from infoplane.training.validation import Validation
from infoplane.training.warmup import EpsilonWarmup
from infoplane.training.yopo import YOPOTraining

__all__ = [
    "AWPTraining",
    "Batch",
    "BatchLoss",
    "Cost",
    "DivergedError",
    "EpochRecord",
    "EpsilonWarmup",
    "FreeLBTraining",
    "FreeTraining",
    "GuardedTraining",
    "LossMethod",
    "Stateless",
    "StepRecord",
    "Trainer",
    "TrainingMethod",
    "Validation",
    "YOPOTraining",
    "adversarial_training",
    "ensemble_training",
    "fgsm_rs_training",
    "fgsm_training",
    "guard_attack",
    "learning_rate",
    "mart_training",
    "normal_training",
    "trades_training",
]
