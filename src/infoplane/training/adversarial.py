"""Adversarial training: cross-entropy on attacked images only."""

import torch
from torch import Tensor, nn

from infoplane.attacks import Attack, apply_attack
from infoplane.attacks.shipped import ShippedAttack
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.training.method import Attacker, Cost, LossMethod
from infoplane.training.normal import cross_entropy_loss


def in_evaluation_mode(attack: Attack) -> Attacker:
    """Return the attack with the model in evaluation mode, so that it does not change the batch statistics."""

    def attacked(model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Tensor:
        with evaluation_mode(model):
            return apply_attack(attack, model, images, labels, generator=generator)

    return attacked


def adversarial_training(attack: Attack, *, attack_cost: Cost | None = None) -> LossMethod:
    """Return the method that minimises the cross-entropy on images attacked by `attack`; PGD-AT if this is PGD.

    Cost per update with PGD: steps + 1 forward and backward passes. Source: Madry et al. (2018), arXiv:1706.06083,
    Equation 2.1.

    Args:
        attack: makes the images; it needs not be PGD.
        attack_cost: passes per image that the attack takes; by default its `gradient_evaluations`, each with a forward
            pass.

    Raises:
        ValueError: the attack does not state its gradient evaluations, and no cost is given.
    """
    if attack_cost is None:
        if not isinstance(attack, ShippedAttack):
            raise ValueError(f"{type(attack).__name__} does not state its gradient evaluations; give attack_cost")
        attack_cost = Cost(forward=attack.gradient_evaluations, gradient=attack.gradient_evaluations)
    return LossMethod(
        loss=cross_entropy_loss,
        cost=Cost(forward=1, gradient=1),
        attack=in_evaluation_mode(attack),
        attack_cost=attack_cost,
    )
