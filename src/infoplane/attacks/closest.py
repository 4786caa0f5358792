"""The closest adversarial version of each image that a search has met so far."""

from collections.abc import Callable

import torch
from torch import Tensor

from infoplane.attacks.balls import Norm

# The network rounds differently in batches of other sizes. An image that lies on the boundary is pushed outwards by
# these shares of its perturbation, one after the other, until the last forward pass confirms it.
PUSHES = (1e-5, 1e-4, 1e-3, 1e-2)


class Closest:
    """The smallest perturbation found for each image.

    Args:
        originals: `(batch, channels, height, width)`.
        norm: of the perturbations.
    """

    def __init__(self, originals: Tensor, *, norm: Norm = "l2") -> None:
        self.originals, self.images, self.norm = originals, originals.clone(), norm
        self.norms = originals.new_full((len(originals),), float("inf"))

    @property
    def found(self) -> Tensor:
        """Whether there is an adversarial version, `(batch,)`."""
        return self.norms.isfinite()

    def offer(self, places: Tensor, candidates: Tensor, adversarial: Tensor) -> None:
        """Keep those candidates that are adversarial and closer than what was found before.

        Args:
            places: `(some,)` places of the images in the batch.
            candidates: `(some, channels, height, width)`.
            adversarial: `(some,)` bool.
        """
        norms = norms_of(candidates - self.originals[places], self.norm)
        closer = adversarial & (norms < self.norms[places])
        # Not by a mask: a GPU would have to wait.
        self.norms[places] = torch.where(closer, norms, self.norms[places])
        self.images[places] = torch.where(per_image(closer), candidates, self.images[places])

    def confirmed(self, is_adversarial: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the images after a last check of all together; the originals where nothing passes it.

        Args:
            is_adversarial: from a batch of images to `(batch,)` bool.
        """
        attacked, found = self.images, self.found
        for push in (*PUSHES, None):
            failed = found & ~is_adversarial(attacked)
            if not bool(failed.any()):
                break
            further = self.originals
            if push is not None:
                further = (self.originals + (1 + push) * (self.images - self.originals)).clamp_(0, 1)
            attacked = torch.where(per_image(failed), further, attacked)
        return attacked


def norms_of(perturbations: Tensor, norm: Norm) -> Tensor:
    """Return the norm of each image's perturbation, `(batch,)`."""
    order = float("inf") if norm == "linf" else 2
    norms: Tensor = torch.linalg.vector_norm(perturbations.flatten(start_dim=1), ord=order, dim=1)
    return norms


def per_image(values: Tensor) -> Tensor:
    """Return one value per image, `(batch,)`, in a shape that goes with images."""
    return values.view(-1, 1, 1, 1)
