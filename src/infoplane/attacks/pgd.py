"""PGD, projected gradient ascent in the L-infinity and the L2 ball."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from infoplane.attacks.balls import Norm, Region
    from infoplane.config import AttackConfig


@dataclass(frozen=True, kw_only=True)
class PGD:
    """Base class of `LinfPGD` and `L2PGD`; use one of these."""

    norm: ClassVar[Norm]

    epsilon: float
    steps: int
    step_size: float = None  # type: ignore[assignment]  # until __post_init__ sets the default
    random_start: bool = False

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least, check_positive

        check_positive(self.epsilon, name="epsilon")
        check_at_least(self.steps, 1, name="steps")
        if self.step_size is None:
            object.__setattr__(self, "step_size", 2.5 * self.epsilon / self.steps)
        check_positive(self.step_size, name="step_size")
        if self.step_size * self.steps < self.epsilon * (1 - 1e-6):
            raise ValueError(
                f"{self.steps} steps of step_size {self.step_size:g} cannot reach epsilon {self.epsilon:g}; "
                "raise steps or step_size"
            )

    @property
    def gradient_evaluations(self) -> int:
        """Number of input gradients per image; each also takes one forward pass."""
        return self.steps

    def region(self, images: Tensor) -> Region:
        """Return the balls around `images`, within [0, 1]."""
        from infoplane.attacks.balls import region_around

        return region_around(images, self.norm, self.epsilon)

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """Return attacked images in [0, 1], each within `epsilon` of the original.

        The caller chooses the mode of `model`. Weights, their gradients, buffers and the global generators stay
        unchanged. In evaluation mode on a CPU, gradients of convolutional networks are computed by a faster program
        in the same precision (docs/acceleration.md).

        Args:
            model: returns logits `(batch, classes)`.
            images: `(batch, channels, height, width)`, float32 or float64, in [0, 1].
            labels: `(batch,)` integers, indices of the true classes among the logits; their loss is raised.
            generator: for the random start.
            target: `(batch,)` integers, indices of target classes; if given, their loss is lowered instead.

        Raises:
            ValueError: an argument is outside the description above, or the logits carry no gradient.
        """
        import torch

        from infoplane.acceleration import for_attack
        from infoplane.attacks.ascent import ascend, lower_cross_entropy, raise_cross_entropy
        from infoplane.attacks.hygiene import GradientHealth, model_left_as_found
        from infoplane.checks import check_images, check_labels

        check_images(images)
        check_labels(labels, len(images))
        if target is not None:
            check_labels(target, len(images), name="target")
        with model_left_as_found(model, generator, images.device):
            originals = _usable_by_autograd(images.detach())
            working, originals = for_attack(model, originals, self.steps)
            region = self.region(originals)
            start = region.random_point(generator) if self.random_start else originals.clone()
            if target is None:
                objective = raise_cross_entropy(_usable_by_autograd(labels).long())
            else:
                objective = lower_cross_entropy(_usable_by_autograd(target).long())
            health = GradientHealth(len(images), images.device)
            attacked = ascend(
                working, start, region, objective, steps=self.steps, step_size=self.step_size, health=health
            )
            if working is not model:
                attacked = torch.empty_like(images).copy_(attacked)  # in the layout of `images`
        health.warn()
        return attacked


@dataclass(frozen=True, kw_only=True)
class LinfPGD(PGD):
    """Projected gradient ascent on the cross-entropy. Source: Madry et al. (2018), arXiv:1706.06083, Section 2.1.

    One step of size epsilon without a random start is FGSM (Goodfellow et al., 2015, arXiv:1412.6572).

    Args:
        epsilon: radius of the ball, in pixels of [0, 1], so at most 1.
        steps: gradient evaluations per image.
        step_size: per step, likewise; 2.5 epsilon / steps unless given.
        random_start: begin at x + U(-epsilon, epsilon) instead of at x.

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

    Raises:
        ValueError: a value is out of range, or the steps together cannot reach the boundary of the ball.
    """

    norm = "l2"


def _usable_by_autograd(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy if it was made under `torch.inference_mode()`."""
    return tensor.clone() if tensor.is_inference() else tensor


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
)
