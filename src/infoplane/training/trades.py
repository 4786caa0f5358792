"""TRADES: cross-entropy on original images plus the largest divergence that an attack finds."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks import PGD
from infoplane.attacks.ascent import ascend
from infoplane.attacks.goal import Objective
from infoplane.attacks.hygiene import GradientHealth, model_left_as_found
from infoplane.attacks.oracle import Oracle, fast_gradients
from infoplane.checks import check_positive
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.logits import logits_of
from infoplane.randomness import draw_per_image
from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod
from infoplane.training.normal import classified

START_DEVIATION = 0.001  # deviation of the starting noise; at the original image the gradient of the divergence is zero


def divergence(clean: Tensor, attacked: Tensor) -> Tensor:
    """Return KL(p(x) || p(x')) per image, `(batch,)`, in nats, from two sets of logits."""
    return F.kl_div(attacked.log_softmax(dim=1), clean.log_softmax(dim=1), reduction="none", log_target=True).sum(dim=1)


def raise_divergence(clean: Tensor) -> Objective:
    """Return the objective of an attack that raises KL(p(x) || p(x')): its gradient p(x') - p(x), scaled per image.

    If the model is very confident in a class, float32 rounds that class's probability to 1 at x and at x', and all
    others are nearly 0. So the differences of the others are divided by the largest of them, and the confident class
    gets minus their sum.

    Args:
        clean: the logits at x, `(batch, classes)`.
    """
    sure, before = clean.argmax(dim=1, keepdim=True), clean.log_softmax(dim=1)

    def direction(logits: Tensor) -> Tensor:
        both = torch.stack([before, logits.log_softmax(dim=1)])  # (2, batch, classes)
        others = both.scatter(2, sure.expand(2, -1, -1), -torch.inf)
        relative = (others - others.amax(dim=(0, 2), keepdim=True)).exp()
        difference = relative[1] - relative[0]
        return difference.scatter(1, sure, -difference.sum(dim=1, keepdim=True))

    return direction


@dataclass(frozen=True)
class DivergenceAttack:
    """Attack that raises KL(p(x) || p(x')) with the steps and the ball of a PGD attack; p(x) is computed once."""

    like: PGD

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Tensor:
        """Return attacked images; the model runs in evaluation mode and is restored. Labels are not used."""
        del labels
        with evaluation_mode(model), model_left_as_found(model, generator, images.device):
            with torch.no_grad():
                clean = logits_of(model(images.clone())).to(images.dtype)  # a copy: a model may write over its input
            region = self.like.region(images)
            noise = draw_per_image(torch.randn, images.shape, generator, dtype=images.dtype)
            start = region.projected_(images + START_DEVIATION * noise.to(images.device))
            health = GradientHealth(len(images), images.device)
            with fast_gradients(model):
                oracle, objective = Oracle(model, health), raise_divergence(clean)
                attacked = ascend(
                    oracle, start, region, objective, steps=self.like.steps, step_size=self.like.step_size
                )
        health.warn()
        return attacked


def trades_training(attack: PGD, *, beta: float) -> LossMethod:
    """Return the method that minimises CE(f(x), y) + beta KL(p(x) || p(x')), mean over the batch, in nats.

    The gradient runs through p(x) and p(x'). Cost per update: steps + 3 forward, steps + 2 backward passes; batch
    statistics are updated once for x and once for x'. Source: Zhang et al. (2019), arXiv:1901.08573, Equation 5 and
    Algorithm 1.

    Args:
        attack: gives ball, steps and step size; the start is x plus noise of standard deviation 0.001.
        beta: positive; 6 on CIFAR-10.
    """
    check_positive(beta, name="beta")

    def loss(model: nn.Module, batch: Batch) -> BatchLoss:
        clean, attacked = model(batch.images), model(batch.attacked)
        value = F.cross_entropy(clean, batch.labels) + beta * divergence(clean, attacked).mean()
        return BatchLoss(value, classified(attacked, batch.labels))

    return LossMethod(
        loss=loss,
        cost=Cost(forward=2, gradient=2),
        attack=DivergenceAttack(attack),
        attack_cost=Cost(attack.steps + 1, attack.steps),
    )
