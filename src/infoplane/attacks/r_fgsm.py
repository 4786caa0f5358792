"""R+FGSM: a random step, then one step along the sign of the gradient."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

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


@dataclass(frozen=True, kw_only=True)
class RFGSM(ShippedAttack):
    """A step of size alpha along a random sign, then one of size epsilon - alpha along the sign of the gradient.

    The random step leaves places where the gradient is unusually small. Source: Tramèr et al. (2018), arXiv:1705.07204,
    Section 4.1, "RAND+FGSM".

    Args:
        epsilon: radius of the L-infinity ball, in pixels of [0, 1], so at most 1.
        alpha: size of the random step, less than epsilon; half of epsilon, as in the paper, unless given.

    Raises:
        ValueError: a value is out of range.
    """

    norm: ClassVar[Norm] = "linf"

    epsilon: float
    alpha: float = None  # type: ignore[assignment]  # until __post_init__ sets the default

    def __post_init__(self) -> None:
        from infoplane.checks import check_pixel_range, check_positive

        super().__post_init__()
        check_pixel_range(self.epsilon, name="epsilon")
        if self.alpha is None:
            object.__setattr__(self, "alpha", self.epsilon / 2)
        check_positive(self.alpha, name="alpha")
        if self.alpha >= self.epsilon:
            raise ValueError(f"alpha must be less than epsilon, got {self.alpha:g} and {self.epsilon:g}")

    @property
    def most_gradients(self) -> int:
        """Number of input gradients of one image: one."""
        return 1

    def search(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:
        """Return attacked images, each within `epsilon` of the original."""
        from infoplane.attacks.balls import random_perturbation, region_around

        start = random_perturbation(images, "linf", self.alpha, generator)
        _, gradient = oracle.gradient(start, goal.cross_entropy)
        return region_around(images, "linf", self.epsilon).step_(start, gradient, self.epsilon - self.alpha)


R_FGSM_SPEC = AttackSpec(
    name="r+fgsm",
    description="half of epsilon along a random sign, half along the sign of the gradient (Tramèr et al. 2018)",
    settings=("epsilon",),
    norms=("linf",),
    build=lambda settings: RFGSM(epsilon=settings.epsilon),
    cost=lambda _settings: 1,
    source="Tramèr et al. (2018), arXiv:1705.07204, Section 4.1",
)
