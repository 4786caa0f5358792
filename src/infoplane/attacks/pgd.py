"""Projected gradient ascent in the L-infinity ball."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.attacks.hygiene import GradientHealth, model_left_as_found
from infoplane.checks import check_at_least, check_images, check_labels, check_positive


@dataclass(frozen=True, kw_only=True)
class LinfPGD:
    """Projected gradient ascent on the cross-entropy. Source: Madry et al. (2018), arXiv:1706.06083, Section 2.1.

    Args:
        epsilon: radius of the ball, in pixels of [0, 1].
        steps: gradient evaluations per image.
        step_size: per step, in pixels of [0, 1]; 2.5 epsilon / steps unless given.
        random_start: begin at x + U(-epsilon, epsilon) instead of at x.

    Raises:
        ValueError: a value is out of range, or the steps together cannot reach the boundary of the ball.
    """

    epsilon: float
    steps: int
    step_size: float = None  # type: ignore[assignment]  # until __post_init__ sets the default
    random_start: bool = False

    def __post_init__(self) -> None:
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
        """Input gradients per image; each costs one forward pass too."""
        return self.steps

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """Return attacked images in [0, 1], each pixel within `epsilon` of the original.

        The mode of `model` is the caller's; weights, their gradients, buffers and the global generators are left
        as they were.

        Args:
            model: returns logits `(batch, classes)`.
            images: `(batch, channels, height, width)`, float32 or float64, in [0, 1].
            labels: `(batch,)` integers; their loss is raised.
            generator: for the random start.
            target: `(batch,)` integers; if given, their loss is lowered instead.

        Raises:
            ValueError: an argument is outside the description above.
        """
        check_images(images)
        check_labels(labels, len(images))
        if target is not None:
            check_labels(target, len(images), name="target")
        with model_left_as_found(model, generator, images.device):
            originals = _usable_by_autograd(images.detach())
            lower, upper = (originals - self.epsilon).clamp_(min=0), (originals + self.epsilon).clamp_(max=1)
            attacked = originals.clone()
            if self.random_start:
                noise = torch.rand(images.shape, generator=generator, device=generator.device, dtype=images.dtype)
                attacked += (2 * noise - 1).to(images.device) * self.epsilon
                attacked = attacked.clamp_(lower, upper)
            goal, direction = (labels, 1.0) if target is None else (target, -1.0)
            goal = _usable_by_autograd(goal)
            health = GradientHealth(len(images), images.device)
            for _ in range(self.steps):
                logits = model(attacked.requires_grad_())
                health.observe_logits(logits)
                # sum: a mean over a large batch underflows; the model may run in lower precision, the loss never.
                loss = F.cross_entropy(logits.to(images.dtype), goal, reduction="sum")
                # autograd.grad, not backward(): an attack leaves no gradients on the weights.
                (gradient,) = torch.autograd.grad(loss, attacked)
                health.observe_gradient(gradient)
                attacked = attacked.detach()
                attacked.add_(gradient.sign_(), alpha=direction * self.step_size).clamp_(lower, upper)
        health.warn()
        return attacked


def _usable_by_autograd(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy where it was made under `torch.inference_mode()`."""
    return tensor.clone() if tensor.is_inference() else tensor
