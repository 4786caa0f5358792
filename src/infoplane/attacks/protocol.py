"""Protocol of an attack: the call that studies and training make."""

from typing import Protocol

import torch
from torch import Tensor, nn


class Attack(Protocol):
    """Any callable with this signature is an attack: an object such as `LinfPGD`, or a plain function."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """Return attacked images in [0, 1]; model, mode, gradients and global generators stay unchanged.

        Args:
            model: returns logits `(batch, classes)`; the caller chooses its mode.
            images: `(batch, channels, height, width)` floats in [0, 1].
            labels: `(batch,)` integers, the true classes; the attack lowers their probability.
            generator: source of all random draws.
            target: `(batch,)` integers, classes that the attack aims at instead; no study uses it.
        """
