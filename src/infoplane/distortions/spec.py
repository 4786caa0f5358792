"""`Distortion`: name, destroyed cue, levels and function of one distortion."""

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
        name: as typed on the command line.
        destroys: the cue that it destroys.
        level: meaning of the level, e.g. a width in pixels.
        identity: the level that changes nothing.
        levels: default levels, the identity first.
        apply: function of images, labels, level and generator that returns new images; it raises ValueError if the
            level does not fit the images.
        fitted: function that adapts the default levels to images of this height and width; by default they are used
            unchanged.
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
