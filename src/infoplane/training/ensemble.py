"""Ensemble adversarial training: one-step attacks on the model and on fixed networks trained beforehand."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from infoplane.attacks import LinfPGD
from infoplane.training.adversarial import in_evaluation_mode
from infoplane.training.fgsm import half_and_half_loss
from infoplane.training.method import Cost, LossMethod


def ensemble_training(sources: Sequence[nn.Module], epsilon: float) -> LossMethod:
    """Return the method that minimises 1/2 L(x) + 1/2 L(x'); x' is a one-step attack on a network drawn per batch.

    The network is one of `sources` or the model itself, all equally likely. Cost per update: 3 forward and backward
    passes, one of them through the drawn network. Source: Tramer et al. (2018), arXiv:1705.07204, Section 3.4.

    Args:
        sources: trained networks on the device of the model; they are never changed.
        epsilon: size of the step, in pixels of [0, 1].

    Raises:
        ValueError: `sources` is empty.
    """
    if not sources:
        raise ValueError("ensemble training needs at least one source network")
    step = in_evaluation_mode(LinfPGD(epsilon=epsilon, steps=1, step_size=epsilon))

    def attack(model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Tensor:
        networks = [*sources, model]
        drawn = int(torch.randint(len(networks), (), generator=generator, device=generator.device))
        return step(networks[drawn], images, labels, generator=generator)

    return LossMethod(loss=half_and_half_loss, cost=Cost(forward=2, gradient=2), attack=attack, attack_cost=Cost(1, 1))
