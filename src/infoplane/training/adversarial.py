"""Adversarial training: cross-entropy on attacked images only."""

from functools import partial

import torch
from torch import Tensor, nn

from infoplane.attacks import Attack, LinfPGD
from infoplane.modes import evaluation_mode
from infoplane.training.method import BatchLoss, LossMethod
from infoplane.training.normal import cross_entropy_loss


def adversarial_loss(
    model: nn.Module, images: Tensor, labels: Tensor, *, attack: Attack, generator: torch.Generator
) -> BatchLoss:
    """Mean cross-entropy, in nats, on attacked images. Source: Madry et al. (2018), arXiv:1706.06083, Equation 2.1."""
    with evaluation_mode(model):  # batch statistics must not move while the attack looks for its example
        attacked = attack(model, images, labels, generator=generator)
    return cross_entropy_loss(model, attacked, labels, generator=generator)


def adversarial_training(attack: LinfPGD) -> LossMethod:
    """Return the method that minimises the cross-entropy on images attacked by `attack` (PGD-AT)."""
    return LossMethod(
        loss=partial(adversarial_loss, attack=attack),
        forward_evaluations=attack.steps + 1,
        gradient_evaluations=attack.steps + 1,
    )
