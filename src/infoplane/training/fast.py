"""FGSM training from a random start, and a guard against catastrophic overfitting."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.attacks import LinfPGD
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.training.adversarial import adversarial_training
from infoplane.training.method import LossMethod, StepRecord, TrainingMethod
from infoplane.training.normal import classified

COLLAPSE = 0.2  # loss of robust accuracy within one epoch
GUARD_STEPS = 5


class GuardedTraining:
    """Stops a training if its robust accuracy collapses within an epoch, and restores the weights before that epoch.

    After each epoch PGD attacks the model on one fixed batch of training images, the first batch of the training. In
    catastrophic overfitting, single steps suddenly find no adversarial examples although several steps do.

    Additional cost: one attack on one batch per epoch. Source: Wong et al. (2020), arXiv:2001.03994,
    Section 5.

    Args:
        method: the guarded method.
        attack: the attack that the check uses.
    """

    def __init__(self, method: TrainingMethod, attack: LinfPGD) -> None:
        self._method, self._attack = method, attack
        self._images: Tensor | None = None
        self._labels: Tensor | None = None
        self._accuracy: float | None = None  # after the epoch before
        self._weights: dict[str, Tensor] = {}  # weights after the epoch before

    @property
    def replays(self) -> int:
        """Updates per batch of the guarded method."""
        return self._method.replays

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        """Update `model` with the guarded method."""
        if self._images is None:
            self._images, self._labels = images.clone(), labels.clone()
        return self._method.step(model, optimiser, images, labels, generator=generator)

    def end_epoch(self, model: nn.Module) -> str | None:
        """Check robust accuracy; restore the weights of the epoch before if it has collapsed."""
        reason = self._method.end_epoch(model)
        if reason is not None or self._images is None:
            return reason
        before, now = self._accuracy, self._robust_accuracy(model)
        if before is not None and now < before - COLLAPSE:
            model.load_state_dict(self._weights)
            return (
                f"robust accuracy on a batch of training images fell from {before:.1%} to {now:.1%} within one epoch "
                "(catastrophic overfitting); the weights before that epoch are back"
            )
        self._accuracy = now
        self._weights = copy.deepcopy(dict(model.state_dict()))
        return None

    def _robust_accuracy(self, model: nn.Module) -> float:
        assert self._images is not None
        assert self._labels is not None
        # the same random starts after every epoch, so that epochs can be compared
        generator = torch.Generator(device=self._images.device).manual_seed(0)
        with evaluation_mode(model):
            attacked = self._attack(model, self._images, self._labels, generator=generator)
            with torch.no_grad():
                right = classified(model(attacked), self._labels)
        return int(right) / len(self._labels)

    def state_dict(self) -> dict[str, Any]:
        """State: the fixed batch, and the accuracy and weights after the last epoch."""
        own = {"images": self._images, "labels": self._labels, "accuracy": self._accuracy, "weights": self._weights}
        return {**own, "method": self._method.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state that `state_dict` returned."""
        self._images, self._labels = state["images"], state["labels"]
        self._accuracy, self._weights = state["accuracy"], dict(state["weights"])
        self._method.load_state_dict(state["method"])


def guard_attack(epsilon: float) -> LinfPGD:
    """Return the attack that the check uses: PGD with five steps from a random start."""
    return LinfPGD(epsilon=epsilon, steps=GUARD_STEPS, random_start=True)


def fgsm_rs_training(epsilon: float) -> LossMethod:
    """Return FGSM training from a random start: one step of 1.25 epsilon from x + U(-epsilon, epsilon).

    The loss is the cross-entropy on the result. The training can collapse: see `GuardedTraining`.

    Cost per update: 2 forward and backward passes. Source: Wong et al. (2020), arXiv:2001.03994, Algorithm 3.

    Args:
        epsilon: radius of the ball, in pixels of [0, 1].
    """
    return adversarial_training(
        LinfPGD(epsilon=epsilon, steps=1, step_size=min(1.25 * epsilon, 1.0), random_start=True)
    )
