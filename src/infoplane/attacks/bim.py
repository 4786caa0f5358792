"""BIM, the basic iterative method: FGSM in small steps."""

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
class BIM(ShippedAttack):
    """Steps along the sign of the gradient, from the original image, projected onto the L-infinity ball.

    It differs from `LinfPGD` without a random start in its step size alone. With `target=` it is the iterative
    target-class method. Source: Kurakin et al. (2017), arXiv:1607.02533, Section 2.2.

    Args:
        epsilon: radius of the ball, in pixels of [0, 1], so at most 1.
        steps: gradient evaluations per image.
        step_size: per step, in the same unit; epsilon / steps unless given.

    Raises:
        ValueError: a value is out of range, or the steps together cannot reach the boundary of the ball.
    """

    norm: ClassVar[Norm] = "linf"

    epsilon: float
    steps: int
    step_size: float = None  # type: ignore[assignment]  # until __post_init__ sets the default

    def __post_init__(self) -> None:
        from infoplane.checks import check_pixel_range, check_steps_reach

        super().__post_init__()
        check_pixel_range(self.epsilon, name="epsilon")
        if self.step_size is None and self.steps:
            object.__setattr__(self, "step_size", self.epsilon / self.steps)
        check_steps_reach(self.epsilon, self.steps, self.step_size)
        check_pixel_range(self.step_size, name="step_size")

    @property
    def most_gradients(self) -> int:
        """Number of input gradients of one image."""
        return self.steps

    def search(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return attacked images, each within `epsilon` of the original."""
        from infoplane.attacks.ascent import ascend
        from infoplane.attacks.balls import region_around

        region = region_around(images, "linf", self.epsilon)
        return ascend(oracle, images, region, goal.cross_entropy, steps=self.steps, step_size=self.step_size)


BIM_SPEC = AttackSpec(
    name="bim",
    description="steps of size epsilon / steps along the sign of the gradient (Kurakin et al. 2017)",
    settings=("epsilon", "steps"),
    norms=("linf",),
    build=lambda settings: BIM(epsilon=settings.epsilon, steps=settings.steps),
    cost=lambda settings: settings.steps,
    source="Kurakin et al. (2017), arXiv:1607.02533, Section 2.2",
)
