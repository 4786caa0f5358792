"""PGD, projected gradient ascent in the L-infinity and the L2 ball."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infoplane.attacks.shipped import ShippedAttack
from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from infoplane.attacks.balls import Norm, Region
    from infoplane.attacks.goal import Goal
    from infoplane.attacks.oracle import Oracle
    from infoplane.config import AttackConfig


@dataclass(frozen=True, kw_only=True)
class PGD(ShippedAttack):
    """Base class of `LinfPGD` and `L2PGD`; use one of these."""

    norm: ClassVar[Norm]

    epsilon: float
    steps: int
    step_size: float = None  # type: ignore[assignment]  # until __post_init__ sets the default
    random_start: bool = False
    restarts: int = 1
    stop_early: bool = False

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least, check_steps_reach

        super().__post_init__()
        if self.step_size is None and self.steps:
            object.__setattr__(self, "step_size", 2.5 * self.epsilon / self.steps)
        check_steps_reach(self.epsilon, self.steps, self.step_size)
        check_at_least(self.restarts, 1, name="restarts")
        if self.restarts > 1 and not self.random_start:
            raise ValueError(f"{self.restarts} restarts find the same images; set random_start=True")

    @property
    def most_gradients(self) -> int:
        """Largest number of input gradients of one image."""
        return self.steps * self.restarts

    @property
    def _stops(self) -> bool:
        return self.stop_early and not self.all_steps

    def region(self, images: Tensor) -> Region:
        """Return the balls around `images`, within [0, 1]."""
        from infoplane.attacks.balls import region_around

        return region_around(images, self.norm, self.epsilon)

    def search(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:
        """Return attacked images, each within `epsilon` of the original."""
        from infoplane.attacks.ascent import ascend

        if self.restarts > 1 or self._stops:
            return self._strongest(oracle, images, goal, generator)
        region = self.region(images)
        start = region.random_point(generator) if self.random_start else images
        return ascend(oracle, start, region, goal.cross_entropy, steps=self.steps, step_size=self.step_size)

    def _strongest(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:
        from infoplane.attacks.ascent import all_rows, ascend, ascend_until_reached
        from infoplane.attacks.strongest import Strongest

        steps, size = self.steps, self.step_size
        region, rows, found = self.region(images), all_rows(images), Strongest(images)
        if self._stops and self.random_start:
            found.spare(goal.is_reached(oracle.logits(images)))
        for _ in range(self.restarts):
            # Drawn for all images: the draws of one must not depend on which others are left.
            start = region.random_point(generator) if self.random_start else images
            if self._stops:
                ascend_until_reached(oracle, found, images, start, goal, self.region, steps=steps, step_size=size)
            else:
                attacked = ascend(oracle, start, region, goal.cross_entropy, steps=steps, step_size=size)
                logits = oracle.logits(attacked)
                found.offer(rows, attacked, goal.is_reached(logits), goal.margin(logits))
        return found.images


@dataclass(frozen=True, kw_only=True)
class LinfPGD(PGD):
    """Projected gradient ascent on the cross-entropy. Source: Madry et al. (2018), arXiv:1706.06083, Section 2.1.

    One step of size epsilon without a random start is FGSM (Goodfellow et al., 2015, arXiv:1412.6572).

    Args:
        epsilon: radius of the ball, in pixels of [0, 1], so at most 1.
        steps: gradient evaluations per image.
        step_size: per step, likewise; 2.5 epsilon / steps unless given.
        random_start: begin at x + U(-epsilon, epsilon) instead of at x.
        restarts: number of random starts. The result is that with the highest margin, for each image.
        stop_early: leave images alone once they have reached their goal, for faster evaluation; training and
            measurements want the examples of all steps. Not with `all_steps`.

    Raises:
        ValueError: a value is out of range, or the steps together cannot reach the boundary of the ball.
    """

    norm = "linf"

    def __post_init__(self) -> None:
        from infoplane.checks import check_pixel_range

        check_pixel_range(self.epsilon, name="epsilon")
        if self.step_size is not None:
            check_pixel_range(self.step_size, name="step_size")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class L2PGD(PGD):
    """Projected gradient ascent on the cross-entropy in the Euclidean ball, with steps of fixed length.

    Source: Madry et al. (2018), arXiv:1706.06083, Section 2.1, with the normalised gradient as steepest ascent.

    Args:
        epsilon: radius of the ball, as a distance between images with pixels in [0, 1].
        steps: gradient evaluations per image.
        step_size: length of each step; 2.5 epsilon / steps unless given.
        random_start: begin at a uniform point of the ball instead of at x.
        restarts: number of random starts. The result is that with the highest margin, for each image.
        stop_early: leave images alone once they have reached their goal, for faster evaluation; training and
            measurements want the examples of all steps. Not with `all_steps`.

    Raises:
        ValueError: a value is out of range, or the steps together cannot reach the boundary of the ball.
    """

    norm = "l2"


def pgd_attack(settings: AttackConfig, *, random_start: bool = False) -> PGD:
    """Return PGD in the ball of the settings."""
    kind = LinfPGD if settings.norm == "linf" else L2PGD
    return kind(epsilon=settings.epsilon, step_size=settings.step_size, steps=settings.steps, random_start=random_start)


PGD_SPEC = AttackSpec(
    name="pgd",
    description="projected gradient (Madry et al. 2018)",
    settings=("norm", "epsilon", "step_size", "steps"),
    norms=("linf", "l2"),
    build=pgd_attack,
    cost=lambda settings: settings.steps,
    of_recipe=True,
    source="Madry et al. (2018), arXiv:1706.06083, Section 2.1",
)
