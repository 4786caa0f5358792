"""MART: a margin loss on attacked images, and a divergence weighted by the model's lack of confidence."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks import PGD
from infoplane.checks import check_positive
from infoplane.training.adversarial import in_evaluation_mode
from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod
from infoplane.training.normal import classified
from infoplane.training.trades import divergence


def boosted_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -ln p_y - ln(1 - max over other classes of p), per image, in nats."""
    rival = logits.detach().scatter(1, labels[:, None], -torch.inf).argmax(dim=1, keepdim=True)
    # Not ln(1 - p): where p rounds to 1 it has no gradient.
    all_others = logits.scatter(1, rival, -torch.inf).logsumexp(dim=1) - logits.logsumexp(dim=1)
    return F.cross_entropy(logits, labels, reduction="none") - all_others


def mart_training(attack: PGD, *, weight: float) -> LossMethod:
    """Return the method that minimises BCE(p(x'), y) + weight KL(p(x) || p(x')) (1 - p_y(x)), mean over the batch.

    Cost per update: steps + 2 forward and backward passes; batch statistics are updated once for x' and once for x.
    Source: Wang et al. (2020), "Improving Adversarial Robustness Requires Revisiting Misclassified Examples", ICLR,
    Section 3.2.

    Args:
        attack: makes x' by raising the cross-entropy.
        weight: lambda in the paper, positive.
    """
    check_positive(weight, name="weight")

    def loss(model: nn.Module, batch: Batch) -> BatchLoss:
        attacked, clean = model(batch.attacked), model(batch.images)
        unsure = 1 - clean.softmax(dim=1).gather(1, batch.labels[:, None]).squeeze(1)
        value = boosted_cross_entropy(attacked, batch.labels) + weight * divergence(clean, attacked) * unsure
        return BatchLoss(value.mean(), classified(attacked, batch.labels))

    return LossMethod(
        loss=loss,
        cost=Cost(forward=2, gradient=2),
        attack=in_evaluation_mode(attack),
        attack_cost=Cost(attack.gradient_evaluations, attack.gradient_evaluations),
    )
