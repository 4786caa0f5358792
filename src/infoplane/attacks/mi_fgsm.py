"""MI-FGSM: the iterative attack with momentum."""

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
class MIFGSM(ShippedAttack):
    """Steps along the sign of g, where g <- mu g + grad / |grad|_1, from the original image in the L-infinity ball.

    Its examples carry over to other networks more often than those of BIM. Source: Dong et al. (2018),
    arXiv:1710.06081, Algorithm 1.

    Args:
        epsilon: radius of the ball, in pixels of [0, 1], so at most 1.
        steps: gradient evaluations per image; 10 in the paper.
        step_size: per step, in the same unit; epsilon / steps unless given.
        momentum: mu, the share of g that is kept, at least 0.

    Raises:
        ValueError: a value is out of range, or the steps together cannot reach the boundary of the ball.
    """

    norm: ClassVar[Norm] = "linf"

    epsilon: float
    steps: int = 10
    step_size: float = None  # type: ignore[assignment]  # until __post_init__ sets the default
    momentum: float = 1.0

    def __post_init__(self) -> None:
        from infoplane.checks import check_pixel_range, check_steps_reach

        super().__post_init__()
        check_pixel_range(self.epsilon, name="epsilon")
        if self.step_size is None and self.steps:
            object.__setattr__(self, "step_size", self.epsilon / self.steps)
        check_steps_reach(self.epsilon, self.steps, self.step_size)
        check_pixel_range(self.step_size, name="step_size")
        if not 0 <= self.momentum < float("inf"):  # written so that NaN fails too
            raise ValueError(f"momentum must be at least 0 and finite, got {self.momentum}")

    @property
    def most_gradients(self) -> int:
        """Number of input gradients of one image."""
        return self.steps

    def search(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return attacked images, each within `epsilon` of the original."""
        from infoplane.attacks.balls import by_largest, per_image, region_around

        region, attacked, accumulated = region_around(images, "linf", self.epsilon), images.clone(), None
        for _ in range(self.steps):
            _, gradient = oracle.gradient(attacked, goal.cross_entropy)
            # Sums of small and of large elements leave the range of float32: the largest element is made 1 first.
            direction = by_largest(gradient)
            direction /= per_image(direction.abs().flatten(start_dim=1).sum(dim=1).clamp_(min=1), direction)
            accumulated = direction if accumulated is None else accumulated.mul_(self.momentum).add_(direction)
            attacked = region.step_(attacked.detach(), accumulated, self.step_size)
        return attacked


MI_FGSM_SPEC = AttackSpec(
    name="mi-fgsm",
    description="steps of size epsilon / steps along the sign of accumulated gradients (Dong et al. 2018)",
    settings=("epsilon", "steps"),
    norms=("linf",),
    build=lambda settings: MIFGSM(epsilon=settings.epsilon, steps=settings.steps),
    cost=lambda settings: settings.steps,
    source="Dong et al. (2018), arXiv:1710.06081, Algorithm 1",
)
