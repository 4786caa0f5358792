"""What is known of one distortion: what it destroys, and its levels."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Distortion:
    """One distortion. Torch is imported inside `apply`.

    Args:
        name: as it is typed.
        destroys: which cue.
        level: what the number is.
        identity: the level that changes nothing.
        levels: by default, from the identity on.
        apply: takes images, labels, the level and a generator, and returns new images; it raises ValueError where the
            level does not fit the images.
        fitted: of the default levels, for images of this height and width; by default the levels themselves.
        lends_textures: whether each image gets the texture of the image that `texture_donors` draws first for it.
    """

    name: str
    destroys: str
    level: str
    identity: float
    levels: tuple[float, ...]
    apply: "Callable[[Tensor, Tensor, float, torch.Generator], Tensor]"
    fitted: Callable[[tuple[float, ...], int, int], tuple[float, ...]] | None = None
    lends_textures: bool = False

    def default_levels(self, height: int, width: int) -> tuple[float, ...]:
        """Return the levels that are measured by default on images of this size."""
        return self.levels if self.fitted is None else self.fitted(self.levels, height, width)

    def ordered(self, levels: Iterable[float]) -> list[float]:
        """Return levels from the weakest to the strongest."""
        return sorted(levels, reverse=math.isinf(self.identity))
