"""Normal training: cross-entropy on the images as they are."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.training.method import BatchLoss, LossMethod


def cross_entropy_loss(model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> BatchLoss:
    """Mean cross-entropy, in nats, on the given images."""
    del generator  # nothing is drawn
    logits = model(images)
    return BatchLoss(F.cross_entropy(logits, labels), (logits.detach().argmax(dim=1) == labels).sum())


def normal_training() -> LossMethod:
    """Return the method that minimises the cross-entropy on original images."""
    return LossMethod(loss=cross_entropy_loss, forward_evaluations=1, gradient_evaluations=1)
