"""Normal training: cross-entropy on original images."""

import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.training.method import Batch, BatchLoss, Cost, LossMethod


def classified(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many images were classified correctly, as a tensor, without waiting for the device."""
    return (logits.detach().argmax(dim=1) == labels).sum()


def cross_entropy_loss(model: nn.Module, batch: Batch) -> BatchLoss:
    """Mean cross-entropy, in nats, on the attacked images; without an attack these are the original images."""
    logits = model(batch.attacked)
    return BatchLoss(F.cross_entropy(logits, batch.labels), classified(logits, batch.labels))


def normal_training() -> LossMethod:
    """Return the method that minimises the cross-entropy on original images."""
    return LossMethod(loss=cross_entropy_loss, cost=Cost(forward=1, gradient=1))
