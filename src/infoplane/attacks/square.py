"""Square: a random search that changes one square of pixels at a time. It asks for logits, never for gradients."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infoplane.attacks.shipped import ShippedAttack
from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from infoplane.attacks.balls import Norm
    from infoplane.attacks.goal import Goal
    from infoplane.attacks.oracle import Oracle

_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)  # of 10,000 queries
_MEASURED = 1000  # queries in an information plane


@dataclass(frozen=True, kw_only=True)
class Square(ShippedAttack):
    """Random search in the L-infinity ball: each query moves one square of pixels to the boundary of the ball.

    The first query is the image itself, the second adds vertical stripes. After that a square is kept where it raises
    the margin. An image is left alone once it has reached its goal, unless `all_steps` is set. Each image has squares
    of its own, and they reach the last row and column; the authors' code draws one square for the whole batch. Source:
    Andriushchenko et al. (2020), arXiv:1912.00049, Algorithms 1 and 2.

    Args:
        epsilon: radius of the ball, in pixels of [0, 1], so at most 1.
        queries: largest number of forward passes per image, at least 2; 5,000 in AutoAttack.
        share: p, the share of the pixels in the first squares. It is halved nine times, at shares of the queries, as in
            the authors' code.

    Raises:
        ValueError: a value is out of range.
    """

    norm: ClassVar[Norm] = "linf"

    epsilon: float
    queries: int = 5000
    share: float = 0.8

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least, check_pixel_range

        super().__post_init__()
        check_pixel_range(self.epsilon, name="epsilon")
        check_at_least(self.queries, 2, name="queries")
        if not 0 < self.share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {self.share}")

    @property
    def most_gradients(self) -> int:
        """Number of input gradients of one image: none."""
        return 0

    def side(self, query: int, height: int, width: int) -> int:
        """Return the side of the square of a query, in pixels.

        Args:
            query: number of squares before it.
            height: of the images, in pixels.
            width: likewise.
        """
        at = query * 10_000 // self.queries
        share = self.share / 2 ** sum(at > end for end in _HALVED_AT)
        return min(max(round(math.sqrt(share * height * width)), 1), height, width)

    def search(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:
        """Return attacked images, each within `epsilon` of the original."""
        import torch

        from infoplane.attacks.ascent import all_rows
        from infoplane.attacks.strongest import Strongest
        from infoplane.randomness import draw_per_image

        (count, channels, height, width), dtype = images.shape, images.dtype
        down = torch.arange(height, device=images.device).view(1, 1, -1, 1)
        along = torch.arange(width, device=images.device).view(1, 1, 1, -1)
        found = Strongest(images)
        if not self.all_steps:
            found.spare(goal.is_reached(oracle.logits(images)))
        rows: Tensor | None = None
        for query in range(self.queries - 1):
            # Drawn for all images: the draws of one must not depend on which others are left.
            shape = (2 + channels, 1, 1) if query else (channels, 1, width)
            draws = draw_per_image(torch.rand, (count, *shape), generator, dtype=dtype).to(images.device)
            left = all_rows(images) if self.all_steps else found.unreached
            if not len(left):
                break
            if rows is None or len(left) < len(rows):
                rows, own = left, goal[left]
                lower, upper = (images[rows] - self.epsilon).clamp_(min=0), (images[rows] + self.epsilon).clamp_(max=1)
            draws = draws[rows]
            changed = torch.where(draws[:, -channels:] < 0.5, lower, upper)
            if query:
                side = self.side(query - 1, height, width)
                top, start = (draws[:, :1] * (height - side + 1)).long(), (draws[:, 1:2] * (width - side + 1)).long()
                inside = (down >= top) & (down < top + side) & (along >= start) & (along < start + side)
                changed = torch.where(inside, changed, found.images[rows])
            logits = oracle.logits(changed)
            found.offer(rows, changed, own.is_reached(logits), own.margin(logits))
        return found.images


SQUARE_SPEC = AttackSpec(
    name="square",
    description="random search over squares of pixels, 1,000 queries, no gradients (Andriushchenko et al. 2020)",
    settings=("epsilon",),
    norms=("linf",),
    build=lambda settings: Square(epsilon=settings.epsilon, queries=_MEASURED),
    cost=lambda _settings: 0,
    threat="black-box",
    source="Andriushchenko et al. (2020), arXiv:1912.00049, Algorithms 1 and 2",
    queries=_MEASURED,
)
