"""Keep the strongest attacked version of each image, over steps and restarts."""

import torch
from torch import Tensor


class Strongest:
    """The strongest version of each image so far; at the start the image itself, weaker than any version.

    Args:
        images: `(batch, channels, height, width)`.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images.clone()
        self._reached = torch.zeros(len(images), dtype=torch.bool, device=images.device)
        self._strength = torch.full((len(images),), -torch.inf, dtype=images.dtype, device=images.device)

    def spare(self, reached: Tensor) -> None:
        """Count images, `(batch,)` bool, as having reached their goal without a change."""
        self._reached = reached

    def offer(self, rows: Tensor, attacked: Tensor, reached: Tensor, strength: Tensor) -> None:
        """Keep those versions that are stronger than the kept ones.

        Args:
            rows: `(n,)` places of the images in the batch.
            attacked: their new versions, `(n, channels, height, width)`.
            reached: `(n,)` bool; a version that reaches the goal is stronger than all that do not.
            strength: `(n,)`, by which other versions are compared.
        """
        before = self._reached[rows]
        better = (reached & ~before) | ((reached == before) & (strength > self._strength[rows]))
        places = rows[better]
        self.images[places], self._strength[places] = attacked[better], strength[better]
        self._reached[places] = reached[better]

    @property
    def unreached(self) -> Tensor:
        """Places of the images of which no version has reached the goal."""
        return (~self._reached).nonzero().squeeze(1)
