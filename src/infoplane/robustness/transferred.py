"""Examples made on one network, for another."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infoplane.attacks import Attack, apply_attack
from infoplane.networks.evaluation_mode import evaluation_mode


@dataclass(frozen=True, kw_only=True, eq=False)
class Transferred:
    """An attack that never looks at the network that it is called with: it attacks another one.

    Args:
        attack: run on `source`.
        source: another network for the same images.
    """

    attack: Attack
    source: nn.Module

    def __call__(
        self,
        model: nn.Module,  # noqa: ARG002 - as the protocol names it
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """Return the examples of `source`; `model` is not used."""
        with evaluation_mode(self.source):
            return apply_attack(self.attack, self.source, images, labels, generator=generator, target=target)
