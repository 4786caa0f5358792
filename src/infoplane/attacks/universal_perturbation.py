"""One perturbation for all images: made on some images of one network, added to others."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infoplane.attacks.balls import Norm
from infoplane.attacks.goal import Goal
from infoplane.attacks.hygiene import GradientHealth, model_left_as_found
from infoplane.attacks.oracle import Oracle
from infoplane.checks import check_at_least, check_images, check_labels, check_pixel_range


def universal_perturbation(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    epsilon: float,
    generator: torch.Generator,
    passes: int = 10,
    batch_size: int = 100,
) -> Tensor:
    """Return one perturbation of the L-infinity ball that raises the loss of all images together.

    Each step adds the sign of the gradient that a batch gives together, times epsilon / 5, to the perturbation. The
    batches are shuffled in each pass.

    Args:
        model: returns logits; the caller chooses its mode. It is left as it was.
        images: `(n, channels, height, width)`, float32 or float64, in [0, 1]: those on which it is made.
        labels: `(n,)` integers.
        epsilon: largest change of a pixel, at most 1.
        generator: for the order of the images.
        passes: over all images.
        batch_size: images of a step.

    Returns:
        `(channels, height, width)`, within epsilon; an image plus it may leave [0, 1].

    Raises:
        ValueError: an argument is not as described.

    Source: Moosavi-Dezfooli et al. (2017), arXiv:1610.08401, for the aim; Shafahi et al. (2020), arXiv:1811.11304,
    Section 3, for the gradient steps on batches.
    """
    check_images(images)
    check_labels(labels, len(images))
    check_pixel_range(epsilon, name="epsilon")
    check_at_least(passes, 1, name="passes")
    check_at_least(batch_size, 1, name="batch_size")
    change, labels = torch.zeros_like(images[0]), labels.long()
    with model_left_as_found(model, generator, images.device):
        health = GradientHealth(len(images), images.device)
        oracle = Oracle(model, health)
        for _ in range(passes):
            order = torch.randperm(len(images), generator=generator, device=generator.device).to(images.device)
            for rows in torch.split(order, batch_size):
                goal = Goal(labels[rows], targeted=False)
                _, gradient = oracle.gradient((images[rows] + change).clamp(0, 1), goal.cross_entropy, rows)
                change = (change + epsilon / 5 * gradient.sum(dim=0).sign()).clamp(-epsilon, epsilon)
    health.warn()
    return change.detach()


@dataclass(frozen=True, kw_only=True, eq=False)
class AddedPerturbation:
    """An attack that adds one and the same perturbation to all images, whatever the network.

    Args:
        perturbation: `(channels, height, width)`.
        epsilon: of its ball, for the check of `apply_attack`; None if it states none.
        norm: likewise.
    """

    perturbation: Tensor
    epsilon: float | None = None
    norm: Norm = "linf"

    def __call__(
        self,
        model: nn.Module,  # noqa: ARG002 - as the protocol names it
        images: Tensor,
        labels: Tensor,  # noqa: ARG002
        *,
        generator: torch.Generator,  # noqa: ARG002
        target: Tensor | None = None,  # noqa: ARG002
    ) -> Tensor:
        """Return the images plus the perturbation, clamped to [0, 1]."""
        return (images + self.perturbation.to(images)).clamp(0, 1)
