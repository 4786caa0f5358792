"""Base class of the attacks of this package that look for the smallest perturbation."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoplane.attacks.shipped import ShippedAttack

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from infoplane.attacks.closest import Closest
    from infoplane.attacks.goal import Goal
    from infoplane.attacks.oracle import Oracle

# Forward passes without a gradient: of the originals, and of the result, which is checked and perhaps pushed outwards.
PASSES_AROUND = 6


@dataclass(frozen=True, kw_only=True)
class MinimumNorm(ShippedAttack):
    """An attack that returns the closest adversarial version of each image. A subclass writes `approach`.

    An image that already is what the attack wants is returned as it is, as is one for which nothing was found. All
    others are checked by a last forward pass of the whole batch.
    """

    def search(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return for each image the closest adversarial one that was found, or the original."""
        from infoplane.attacks.closest import Closest

        closest = Closest(images)
        logits = oracle.logits(images)
        goal.margin(logits)  # checks that the classes are places of logits
        rows = (~goal.is_reached(logits)).nonzero().squeeze(1)
        if len(rows):
            self.approach(oracle, closest, goal, rows, logits)
        # The layout of memory is that in which a user's own forward pass would be.
        return closest.confirmed(lambda attacked: goal.is_reached(oracle.logits(attacked.contiguous())))

    @abstractmethod
    def approach(self, oracle: Oracle, closest: Closest, goal: Goal, rows: Tensor, logits: Tensor) -> None:
        """Offer adversarial versions of some images to `closest`.

        Args:
            oracle: the network.
            closest: knows the originals of the whole batch and takes the versions.
            goal: of each image of the batch.
            rows: `(some,)` places in the batch of those images that are to be attacked.
            logits: `(batch, classes)` of the originals.
        """
