"""FGSM adversarial training: half the loss on original images, half on images attacked in one step."""

import torch.nn.functional as F
from torch import nn

from infoplane.attacks import LinfPGD
from infoplane.training.adversarial import in_evaluation_mode
from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod
from infoplane.training.normal import classified


def half_and_half_loss(model: nn.Module, batch: Batch) -> BatchLoss:
    """Mean cross-entropy on original and attacked images, in nats; `correct` counts the attacked ones."""
    clean = F.cross_entropy(model(batch.images), batch.labels)
    logits = model(batch.attacked)
    return BatchLoss((clean + F.cross_entropy(logits, batch.labels)) / 2, classified(logits, batch.labels))


def fgsm_training(epsilon: float) -> LossMethod:
    """Return the method that minimises 1/2 L(x) + 1/2 L(x + epsilon sign grad L).

    Cost per update: 3 forward and backward passes. Source: Goodfellow et al. (2015), arXiv:1412.6572, Section 6.

    Args:
        epsilon: size of the one step, in pixels of [0, 1].
    """
    return LossMethod(
        loss=half_and_half_loss,
        cost=Cost(forward=2, gradient=2),
        attack=in_evaluation_mode(LinfPGD(epsilon=epsilon, steps=1, step_size=epsilon)),
        attack_cost=Cost(1, 1),
    )
