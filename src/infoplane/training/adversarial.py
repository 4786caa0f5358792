"""Adversarial training: cross-entropy on attacked images only."""

import torch
from torch import Tensor, nn

from infoplane.attacks import PGD, Attack, apply_attack
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.training.method import Attacker, Cost, LossMethod
from infoplane.training.normal import cross_entropy_loss


def in_evaluation_mode(attack: Attack) -> Attacker:
    """Return the attack with the model in evaluation mode, so that it does not change the batch statistics."""

    def attacked(model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Tensor:
        with evaluation_mode(model):
            return apply_attack(attack, model, images, labels, generator=generator)

    return attacked


def adversarial_training(attack: PGD) -> LossMethod:
    """Return the method that minimises the cross-entropy on images attacked by `attack` (PGD-AT).

    Cost per update: steps + 1 forward and backward passes. Source: Madry et al. (2018), arXiv:1706.06083, Equation 2.1.
    """
    return LossMethod(
        loss=cross_entropy_loss,
        cost=Cost(forward=1, gradient=1),
        attack=in_evaluation_mode(attack),
        attack_cost=Cost(attack.gradient_evaluations, attack.gradient_evaluations),
    )
