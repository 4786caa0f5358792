"""Free adversarial training: each backward pass updates both the weights and the perturbation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.checks import check_at_least, check_pixel_range
from infoplane.training.method import StepRecord
from infoplane.training.normal import classified


class FreeTraining:
    """Replays every batch; one backward pass per replay updates the weights and the perturbation together.

    The perturbation has the shape of a batch, starts at zero and is not reset between batches: each image starts from
    the perturbation of the previous image in its row. The perturbation stays in the ball. x + delta is clamped to
    [0, 1] in the forward pass alone, so delta also fits the next image. Both updates use gradients at the same
    weights. The first batch is the largest; in a shorter last batch only the first rows of the perturbation change.

    Cost per update: one forward and one backward pass; batch statistics are updated once per replay.
    Source: Shafahi et al. (2019), arXiv:1904.12843, Algorithm 1.

    Args:
        epsilon: radius of the L-infinity ball and length of each step, in pixels of [0, 1].
        replays: updates per batch; 8 on CIFAR-10. An epoch uses one batch in `replays`.
    """

    def __init__(self, epsilon: float, *, replays: int) -> None:
        check_pixel_range(epsilon, name="epsilon")
        check_at_least(replays, 1, name="replays")
        self._epsilon, self._replays = epsilon, replays
        self._perturbation: Tensor | None = None  # (largest batch, channels, height, width)

    @property
    def replays(self) -> int:
        """Updates per batch."""
        return self._replays

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        """Update `model` `replays` times on the batch, without random draws."""
        del generator
        perturbation = self._of_batch(images)
        losses, correct = [], []
        for _ in range(self._replays):
            delta = perturbation.detach().requires_grad_()
            optimiser.zero_grad(set_to_none=True)
            logits = model((images + delta).clamp(0, 1))
            loss = F.cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            assert delta.grad is not None
            with torch.no_grad():
                perturbation.add_(delta.grad.sign(), alpha=self._epsilon).clamp_(-self._epsilon, self._epsilon)
            optimiser.step()
            losses.append(loss.detach())
            correct.append(classified(logits, labels))
        passes = self._replays * len(images)
        return StepRecord(torch.stack(losses).mean(), torch.stack(correct).double().mean(), passes, passes)

    def _of_batch(self, images: Tensor) -> Tensor:
        """Return the rows of the perturbation that belong to this batch, as a view, so that updates persist."""
        if self._perturbation is None:
            self._perturbation = torch.zeros_like(images)
        if len(images) > len(self._perturbation):  # a continued run can begin with a shorter batch than later ones
            more = torch.zeros_like(images[len(self._perturbation) :])
            self._perturbation = torch.cat([self._perturbation, more])
        return self._perturbation[: len(images)]

    def end_epoch(self, model: nn.Module) -> str | None:
        """Do nothing: the perturbation is kept for the next epoch."""

    def state_dict(self) -> dict[str, Any]:
        """State: the perturbation, if a batch has been seen."""
        return {} if self._perturbation is None else {"perturbation": self._perturbation}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the perturbation."""
        self._perturbation = state.get("perturbation")
