"""Whether a training is at chance: its network answers no better than a constant does."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.networks.logits import logits_of
from infoplane.networks.memory_format import as_pixels, memory_format

PROBED = 512  # training images whose gradients are looked at
# After fewer, a network at chance may still leave its plateau: it is marked and not stopped. All of 32 trainings of the
# digits recipe left it, the slowest two after some 450 updates (docs/results, "Which seeds leave chance").
ENOUGH_UPDATES = 500


class Liveness(NamedTuple):
    """What a network shows after an epoch."""

    accuracy: float  # on the images that the method trained on, over the epoch
    constant: float  # accuracy that a constant answer reaches
    silent: int  # probed images whose loss has an all-zero gradient with respect to the pixels
    probed: int
    probed_at_chance: bool  # whether the accuracy on the probed images is no better than a constant's

    def complaint(self) -> str | None:
        """Say how the training is at chance; None where it is not."""
        silent = f"{self.silent} of {self.probed} images have all-zero gradients"
        if self.accuracy <= self.constant:
            reason = f"{self.accuracy:.1%} on its own examples, where a constant answer reaches {self.constant:.1%}"
            return f"{reason}; {silent}" if self.silent else reason
        # A network that is certain of its answers has all-zero gradients too, and is not at chance.
        return silent if self.probed_at_chance and 2 * self.silent > self.probed else None


def constant_accuracy(labels: Tensor, number: int) -> float:
    """Return the highest accuracy on `number` examples that a constant answer explains.

    That is the share p of the largest class plus three binomial errors sqrt(p (1 - p) / number), and for few examples
    at most half-way from p to 1, so that a network that is always right is never taken for a constant.

    Args:
        labels: `(n,)` integers of the training images.
        number: of examples that the accuracy was counted on.
    """
    counts = torch.unique(labels, return_counts=True)[1]
    share = float(counts.max()) / len(labels)
    if share == 1:
        return 0.0  # one class only: there is nothing to be right or wrong about
    return min(share + 3 * math.sqrt(share * (1 - share) / max(number, 1)), (1 + share) / 2)


def liveness(network: nn.Module, images: Tensor, labels: Tensor, *, accuracy: float, number: int) -> Liveness:
    """Look at a network after an epoch.

    Args:
        network: in any mode, which it keeps.
        images: `(n, channels, height, width)` uint8, all training images; 512 of them are looked at.
        labels: `(n,)` integers.
        accuracy: on the images that the method trained on, over the epoch.
        number: of these images.
    """
    chosen = torch.linspace(0, len(images) - 1, min(PROBED, len(images))).long()  # spread: images may come by class
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
