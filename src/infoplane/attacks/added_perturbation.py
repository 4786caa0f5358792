"""One perturbation added to all images, whatever they are and whichever network sees them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infoplane.attacks.balls import Norm


@dataclass(frozen=True, kw_only=True, eq=False)
class AddedPerturbation:
    """An attack that adds one and the same perturbation to all images, whatever the network.

    Args:
        perturbation: `(channels, height, width)` or `(1, channels, height, width)`, e.g. from
            `universal_perturbation`, made on other images or on another network.
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
