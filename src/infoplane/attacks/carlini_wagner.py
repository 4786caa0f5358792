"""The attack of Carlini & Wagner in the Euclidean norm. Source: Carlini & Wagner (2017), arXiv:1608.04644."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoplane.attacks.minimum_norm import PASSES_AROUND, MinimumNorm
from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    from torch import Tensor

    from infoplane.attacks.closest import Closest
    from infoplane.attacks.goal import Goal
    from infoplane.attacks.oracle import Oracle
    from infoplane.config import AttackConfig

_INNER = 0.999  # share of the range of pixels that starts may use
_CHECKS = 10  # of progress, per search
_PATIENCE = 50  # steps between two checks at least: Adam overshoots the boundary and takes some 30 steps to come back
_PROGRESS = 0.9999  # a loss that falls by less has stopped
_GROWTH = 10  # of c while no search has succeeded


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(MinimumNorm):
    """A small perturbation in the Euclidean norm. Source: Carlini & Wagner (2017), arXiv:1608.04644, Section VI-A.

    Adam minimises |x' - x|^2 + c max(kappa - margin, 0) over w with x' = (tanh w + 1) / 2. The margin is that by which
    the strongest other logit exceeds that of the true class, or the target's logit all others. A binary search for each
    image looks for the smallest c that succeeds. An image leaves a search early if its lowest loss fell by less than
    .01 % over a tenth of the steps. The defaults are those of the paper.

    Args:
        confidence: kappa, the margin that an adversarial image must have, in logits.
        searches: number of values of c.
        steps: largest number of steps of Adam per search.
        rate: learning rate of Adam.
        initial_c: first value of c; it grows by a factor of 10 until a search succeeds. None chooses for each image
            twice the value with which the linearised network comes to lie on the boundary: 4 gap / |slope|^2 with the
            margin's gap and gradient at the original. It follows the scale of the logits.

    Raises:
        ValueError: a value is out of range.
    """

    confidence: float = 0.0
    searches: int = 9
    steps: int = 10_000
    rate: float = 0.01
    initial_c: float | None = 1e-3

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least, check_positive

        super().__post_init__()
        if not (math.isfinite(self.confidence) and self.confidence >= 0):
            raise ValueError(f"confidence must be finite and at least 0, got {self.confidence}")
        check_at_least(self.searches, 1, name="searches")
        check_at_least(self.steps, 1, name="steps")
        check_positive(self.rate, name="rate")
        if self.initial_c is not None:
            check_positive(self.initial_c, name="initial_c")

    @property
    def most_gradients(self) -> int:
        """Largest number of input gradients of one image."""
        return self.searches * self.steps + (self.initial_c is None)

    def approach(self, oracle: Oracle, closest: Closest, goal: Goal, rows: Tensor, logits: Tensor) -> None:  # noqa: ARG002
        """Search with one c after the other."""
        import torch

        c = self._first_c(oracle, closest.originals[rows], goal[rows], rows)
        lower, upper = torch.zeros_like(c), torch.full_like(c, torch.inf)
        for _ in range(self.searches):
            succeeded = self._search(oracle, closest, goal, rows, c)
            upper = torch.where(succeeded, c, upper)
            lower = torch.where(succeeded, lower, c)
            c = torch.where(upper.isfinite(), (lower + upper) / 2, c * _GROWTH)

    def _first_c(self, oracle: Oracle, originals: Tensor, own: Goal, rows: Tensor) -> Tensor:
        """Return one c per image, `(some,)`."""
        import torch

        if self.initial_c is not None:
            return originals.new_full((len(rows),), self.initial_c)
        logits, slope = oracle.gradient(originals, own.margin_slope, rows)
        # |r|^2 + c (gap - slope r) has its minimum at r = c slope / 2, on the boundary if c = 2 gap / |slope|^2.
        c = 4 * (self.confidence - own.margin(logits)) / slope.flatten(start_dim=1).square().sum(dim=1)
        return torch.where(c.isfinite() & (c > 0), c, 1.0)

    def _search(self, oracle: Oracle, closest: Closest, goal: Goal, rows: Tensor, c: Tensor) -> Tensor:
        """Minimise the loss for one c per image, and return which images became adversarial, `(some,)`."""
        import torch

        from infoplane.attacks.closest import per_image

        succeeded = torch.zeros_like(c, dtype=torch.bool)
        active = torch.arange(len(rows), device=rows.device)
        own, originals = goal[rows], closest.originals[rows]
        adam = Adam(to_tanh_space(originals), self.rate)
        earlier = lowest = torch.full_like(c, torch.inf)
        every = max(self.steps // _CHECKS, _PATIENCE)
        for step in range(self.steps):
            images = from_tanh_space(adam.point)

            def hinge(logits: Tensor, own: Goal = own) -> Tensor:
                return own.margin_slope(logits) * (own.margin(logits) <= self.confidence)[:, None]

            logits, slope = oracle.gradient(images, hinge, rows[active])
            margin = own.margin(logits)
            adversarial = own.is_reached(logits) & (margin >= self.confidence)
            closest.offer(rows[active], images, adversarial)
            succeeded[active] |= adversarial
            change = images - originals
            gradient = (2 * change).sub_(slope.mul_(per_image(c[active])))
            adam.step_(gradient.mul_(tanh_slope(images)))
            loss = change.flatten(start_dim=1).square().sum(dim=1)
            loss += c[active] * (self.confidence - margin).clamp_(min=0)
            # The loss swings about the boundary: its value at a check would say little.
            lowest = torch.minimum(lowest, loss)
            if (step + 1) % every == 0:
                left = (lowest <= _PROGRESS * earlier).nonzero().squeeze(1)
                if not len(left):
                    break
                if len(left) < len(active):
                    active, originals, lowest = active[left], originals[left], lowest[left]
                    own = goal[rows[active]]
                    adam.keep(left)
                earlier = lowest
        return succeeded


class Adam:
    """Adam for each image of a batch, of which some can leave.

    Source: Kingma & Ba (2015), arXiv:1412.6980, Algorithm 1.

    Args:
        start: `(batch, channels, height, width)`.
        rate: learning rate.
    """

    def __init__(self, start: Tensor, rate: float) -> None:
        import torch

        self.point, self._rate, self._steps = start, rate, 0
        self._first, self._second = torch.zeros_like(start), torch.zeros_like(start)

    def step_(self, gradient: Tensor) -> None:
        """Go one step down the gradient."""
        decay, slow_decay = 0.9, 0.999
        self._steps += 1
        self._first.lerp_(gradient, 1 - decay)
        self._second.mul_(slow_decay).addcmul_(gradient, gradient, value=1 - slow_decay)
        size = self._rate / (1 - decay**self._steps)
        root = self._second.sqrt().mul_((1 - slow_decay**self._steps) ** -0.5).add_(1e-8)
        self.point.addcdiv_(self._first, root, value=-size)

    def keep(self, places: Tensor) -> None:
        """Go on with the images at these places alone."""
        self.point, self._first, self._second = self.point[places], self._first[places], self._second[places]


def to_tanh_space(images: Tensor) -> Tensor:
    """Return w with images = (tanh w + 1) / 2, finite: pixels of 0 and 1 are moved inwards by .0005.

    The authors' program moves them by 5e-7. There tanh is so flat that 200 steps hardly move such a pixel.
    """
    return ((2 * images - 1) * _INNER).arctanh_()


def from_tanh_space(points: Tensor) -> Tensor:
    """Return the images of these points, in [0, 1]."""
    return points.tanh().add_(1).div_(2)


def tanh_slope(images: Tensor) -> Tensor:
    """Return the derivative of the images by their points in tanh space."""
    return 2 * images * (1 - images)


def carlini_wagner_attack(_settings: AttackConfig) -> CarliniWagner:
    """Return the attack for planes and standard evaluations: 5 searches x 200 steps from a c chosen for each image.

    From .001, as in the paper, five searches would spend most of their steps on values of c that are too small.
    """
    return CarliniWagner(searches=5, steps=200, initial_c=None)


CARLINI_WAGNER_SPEC = AttackSpec(
    name="cw",
    description="smallest perturbation in L2, by Adam (Carlini & Wagner 2017)",
    settings=(),
    norms=("linf", "l2"),
    build=carlini_wagner_attack,
    cost=lambda settings: carlini_wagner_attack(settings).gradient_evaluations,
    source="Carlini & Wagner (2017), arXiv:1608.04644, Section VI-A",
    queries=PASSES_AROUND,
    in_ball=False,
)
