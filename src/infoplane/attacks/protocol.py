"""What studies and training ask of an attack."""

from typing import Protocol

import torch
from torch import Tensor, nn


class Attack(Protocol):
    """Any callable of this form is an attack; `LinfPGD` is one, and a plain function can be."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """Return attacked images in [0, 1], and leave model, mode, gradients and global generators as they were.

        Args:
            model: returns logits `(batch, classes)`, in the mode of the caller's choice.
            images: `(batch, channels, height, width)` floats in [0, 1].
            labels: `(batch,)` integers, which the attack leads away from.
            generator: for all draws.
            target: `(batch,)` integers to lead to instead; no study asks for it.
        """
