"""Detect trainings at chance: networks that are no more accurate than a constant answer."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.logits import logits_of
from infoplane.networks.memory_format import as_pixels, memory_format

PROBED = 512  # training images whose gradients are checked
# After fewer updates, a network at chance may still learn: it is marked and not stopped. All of 32 trainings of the
# digits recipe left chance, the slowest two after some 450 updates (docs/results, "Which seeds leave chance").
ENOUGH_UPDATES = 500


class Liveness(NamedTuple):
    """Whether a network is at chance after an epoch, with the numbers behind that."""

    accuracy: float  # on the images that the method trained on, over the epoch
    constant: float  # accuracy that a constant answer reaches
    silent: int  # probed images whose loss has an all-zero gradient with respect to the pixels
    probed: int
    probed_at_chance: bool  # whether the accuracy on the probed images is no higher than that of a constant answer

    def complaint(self) -> str | None:
        """Return why the training counts as at chance; None if it does not."""
        silent = f"{self.silent} of {self.probed} images have all-zero gradients"
        if self.accuracy <= self.constant:
            reason = f"{self.accuracy:.1%} on its own examples, where a constant answer reaches {self.constant:.1%}"
            return f"{reason}; {silent}" if self.silent else reason
        # A very confident network can have all-zero gradients too, and is not at chance.
        return silent if self.probed_at_chance and 2 * self.silent > self.probed else None


def constant_accuracy(labels: Tensor, number: int) -> float:
    """Return the highest accuracy on `number` examples that a constant answer can explain.

    It is the share p of the largest class plus three binomial errors sqrt(p (1 - p) / number). For few examples it is
    at most half-way from p to 1, so that a network that is always right never counts as constant.

    Args:
        labels: `(n,)` integers of the training images.
        number: number of examples on which the accuracy was counted.
    """
    counts = torch.unique(labels, return_counts=True)[1]
    share = float(counts.max()) / len(labels)
    if share == 1:
        return 0.0  # one class only: every answer is right
    return min(share + 3 * math.sqrt(share * (1 - share) / max(number, 1)), (1 + share) / 2)


def liveness(network: nn.Module, images: Tensor, labels: Tensor, *, accuracy: float, number: int) -> Liveness:
    """Check after an epoch whether a network is at chance.

    Args:
        network: in any mode; the mode is not changed.
        images: `(n, channels, height, width)` uint8, all training images; 512 of them are used.
        labels: `(n,)` integers.
        accuracy: accuracy over the epoch on the images that the method trained on.
        number: number of these images.
    """
    chosen = torch.linspace(0, len(images) - 1, min(PROBED, len(images))).long()  # spread: data may be sorted by class
    pixels, own = as_pixels(images[chosen], memory_format(network)), labels[chosen]
    with evaluation_mode(network), torch.enable_grad():
        logits = logits_of(network(pixels.requires_grad_().clone()))  # a copy: a model may write over its input
        gradient = None
        if logits.requires_grad:
            loss = F.cross_entropy(logits, own, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, pixels, allow_unused=True)
    # without a gradient the logits do not depend on the pixels at all
    silent = len(own) if gradient is None else int((gradient.flatten(start_dim=1) == 0).all(dim=1).sum())
    right = (logits.argmax(dim=1) == own).double().mean().item()
    return Liveness(
        accuracy,
        constant_accuracy(labels, number),
        silent,
        len(own),
        right <= constant_accuracy(own, len(own)),
    )
