"""Base class of the attacks of this package: it checks arguments and leaves the model as it found it."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from infoplane.attacks.goal import Goal
    from infoplane.attacks.oracle import Oracle


@dataclass(frozen=True, kw_only=True)
class ShippedAttack(ABC):
    """An attack that keeps the contract of `Attack` by itself. A subclass writes `search` and `most_gradients`.

    Args:
        draws: passes over which each gradient is averaged, for networks that are random when they are used (expectation
            over transformation; Athalye et al., 2018, arXiv:1802.00420, Section 4.1). 1 for all others.
        all_steps: attack every image with all steps, whatever one pass says of it, and keep the version of the highest
            margin or the last one. For networks that are random when they are used: that one pass misclassifies an
            image does not mean that the next one will. It goes before `stop_early`, and several draws switch it on.
            Attacks that search for the smallest change still end where the class changes.
    """

    draws: int = 1
    all_steps: bool = False

    def __post_init__(self) -> None:
        from infoplane.checks import check_at_least

        check_at_least(self.draws, 1, name="draws")
        if self.draws > 1:
            object.__setattr__(self, "all_steps", True)

    @property
    @abstractmethod
    def most_gradients(self) -> int:
        """Largest number of input gradients of one image, each with a forward pass; draws are not counted."""

    @abstractmethod
    def search(self, oracle: Oracle, images: Tensor, goal: Goal, generator: torch.Generator) -> Tensor:
        """Return the attacked images, in [0, 1]; the contract is kept around this call.

        Args:
            oracle: the network.
            images: `(batch, channels, height, width)` float32 or float64 in [0, 1]; not to be changed.
            goal: of each image.
            generator: source of all random draws.
        """

    @property
    def gradient_evaluations(self) -> int:
        """Largest number of input gradients per image; each also takes one forward pass."""
        return self.most_gradients * self.draws

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """Return attacked images in [0, 1].

        The caller chooses the mode of `model`. Weights, their gradients, buffers and the global generators stay
        unchanged. In evaluation mode on a CPU, gradients of convolutional networks are computed by a faster program
        in the same precision (docs/acceleration.md).

        Args:
            model: returns logits `(batch, classes)`.
            images: `(batch, channels, height, width)`, float32 or float64, in [0, 1].
            labels: `(batch,)` integers, indices of the true classes among the logits; the attack leads away from them.
            generator: for all random draws.
            target: `(batch,)` integers, indices of target classes; if given, the attack leads to them instead.

        Raises:
            ValueError: an argument is outside the description above, or the logits carry no gradient.
        """
        import torch

        from infoplane.acceleration import for_attack
        from infoplane.attacks.goal import Goal
        from infoplane.attacks.hygiene import GradientHealth, model_left_as_found
        from infoplane.attacks.oracle import Oracle, fast_gradients
        from infoplane.checks import check_images, check_labels

        check_images(images)
        check_labels(labels, len(images))
        if target is not None:
            check_labels(target, len(images), name="target")
        with model_left_as_found(model, generator, images.device, random=self.draws > 1):
            originals = _usable_by_autograd(images.detach())
            working, originals = for_attack(model, originals, self.gradient_evaluations)
            goal = Goal(_usable_by_autograd(labels if target is None else target).long(), targeted=target is not None)
            health = GradientHealth(len(images), images.device)
            with fast_gradients(working):
                oracle = Oracle(working, health, draws=self.draws)
                attacked = self.search(oracle, originals, goal, generator).detach()
            if working is not model:
                attacked = torch.empty_like(images).copy_(attacked)  # in the layout of `images`
        health.warn()
        return attacked


def _usable_by_autograd(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy if it was made under `torch.inference_mode()`."""
    return tensor.clone() if tensor.is_inference() else tensor
