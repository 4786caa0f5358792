"""APGD: projected gradient ascent with momentum that chooses its step sizes itself."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from infoplane.attacks.shipped import ShippedAttack
from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from infoplane.attacks.balls import Norm
    from infoplane.attacks.goal import Goal
    from infoplane.attacks.oracle import Oracle
    from infoplane.config import AttackConfig

_STEPS = 100  # of the paper


@dataclass(frozen=True, kw_only=True)
class APGD(ShippedAttack):
    """Projected gradient ascent with momentum. Steps begin at 2 epsilon and are halved where the loss rises too seldom.

    Parameters are those of the paper: momentum 0.75; checkpoints after 22 % of the steps, then each interval 3 points
    shorter, at least 6 %; a step size is halved where fewer than 75 % of the steps since the last checkpoint raised the
    loss, or where neither the highest loss nor the step size has changed since then; halving goes back to the best
    point. The start is random, at the boundary of the ball. Source: Croce & Hein (2020), arXiv:2003.01690, Algorithm 1.

    Args:
        epsilon: radius of the ball; in the L-infinity ball in pixels of [0, 1], so at most 1.
        norm: of the ball, "linf" or "l2".
        loss: "ce", cross-entropy, or "dlr", difference of logits ratio, which needs 3 classes, with targets 4.
        steps: gradient evaluations per image and restart; 100 in the paper.
        restarts: number of random starts. The result is the version with the highest loss among those that reached the
            goal, or among all if none did.
        stop_early: leave images alone once they have reached their goal, for faster evaluation; not with `all_steps`.

    Raises:
        ValueError: a value is out of range, or the model has too few classes for the loss.
    """

    epsilon: float
    norm: Norm = "linf"
    loss: Literal["ce", "dlr"] = "ce"
    steps: int = _STEPS
    restarts: int = 1
    stop_early: bool = False

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least, check_one_of, check_pixel_range, check_positive

        super().__post_init__()
        check_one_of(self.norm, ("linf", "l2"), name="norm")
        check_one_of(self.loss, ("ce", "dlr"), name="loss")
        check = check_pixel_range if self.norm == "linf" else check_positive
        check(self.epsilon, name="epsilon")
        check_at_least(self.steps, 1, name="steps")
        check_at_least(self.restarts, 1, name="restarts")

    @property
    def most_gradients(self) -> int:
        """Largest number of input gradients of one image."""
        return self.steps * self.restarts

    def search(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:
        """Return attacked images, each within `epsilon` of the original."""
        from infoplane.attacks.balls import boundary_point, region_around
        from infoplane.attacks.climb import climb
        from infoplane.attacks.strongest import Strongest

        found, stop_early = Strongest(images), self.stop_early and not self.all_steps
        if stop_early:
            found.spare(goal.is_reached(oracle.logits(images)))
        for _ in range(self.restarts):
            # Drawn for all images: the draws of one must not depend on which others are left.
            start = boundary_point(images, self.norm, self.epsilon, generator)
            climb(
                oracle,
                found,
                images,
                start,
                goal,
                partial(region_around, norm=self.norm, epsilon=self.epsilon),
                loss=self.loss,
                steps=self.steps,
                first_step=2 * self.epsilon,
                stop_early=stop_early,
                by_margin=self.all_steps,
            )
        return found.images


def _spec(loss: Literal["ce", "dlr"], description: str) -> AttackSpec:
    def build(settings: AttackConfig) -> APGD:
        return APGD(epsilon=settings.epsilon, norm=settings.norm, loss=loss)

    return AttackSpec(
        name=f"apgd-{loss}",
        description=description,
        settings=("norm", "epsilon"),
        norms=("linf", "l2"),
        build=build,
        cost=lambda _settings: _STEPS,
        source="Croce & Hein (2020), arXiv:2003.01690, Algorithm 1",
        queries=1,
        fewest_classes=3 if loss == "dlr" else 2,
    )


APGD_CE_SPEC = _spec("ce", "100 steps of adapted size, on the cross-entropy (Croce & Hein 2020)")
APGD_DLR_SPEC = _spec("dlr", "100 steps of adapted size, on the difference of logits ratio (Croce & Hein 2020)")
