"""AWP, adversarial weight perturbation: gradients of any training method at weights moved to a higher loss."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.checks import check_positive
from infoplane.training.dropout import SameMasks
from infoplane.training.method import LossMethod, StepRecord, TrainingMethod

Shift = Sequence[tuple[nn.Parameter, Tensor]]

_SMALLEST = 1e-12  # added to the length of a gradient before dividing by it


class _Captured(BaseException):  # not an Exception: a method that catches exceptions must not catch this
    pass


class AWPTraining:
    """Takes the gradient of a method at perturbed weights (adversarial weight perturbation).

    Before each batch, each weight tensor w moves by gamma |w| g / |g|, with g the gradient of the method's loss. The
    method's gradient is taken there, and the weights move back before the optimiser's step.

    Tensors of one dimension (biases, BatchNorm) are not moved. Attacked images are made once, at the unmoved weights,
    for methods that are a loss; methods that attack while they step (Free-AT, YOPO, FreeLB) run once to find g, up to
    their first step of the optimiser, and once more at the moved weights.

    Cost per update: the cost of the loss (or of the method, up to its first update) once more. Batch statistics are
    updated as often as by the method alone. Source: Wu et al. (2020), arXiv:2004.05884, Section 4.

    Args:
        method: the wrapped method.
        gamma: length of the move relative to the weights; 0.01 on CIFAR-10.
    """

    def __init__(self, method: TrainingMethod, *, gamma: float) -> None:
        check_positive(gamma, name="gamma")
        self._method, self._gamma = method, gamma

    @property
    def replays(self) -> int:
        """Updates per batch of the wrapped method."""
        return self._method.replays

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        """Update `model` as the wrapped method does, with gradients at the moved weights."""
        method = self._method
        update: Callable[[], StepRecord]
        if isinstance(method, LossMethod):
            update = partial(
                method.descend, model, optimiser, method.attacked(model, images, labels, generator=generator)
            )
        else:
            update = partial(method.step, model, optimiser, images, labels, generator=generator)
        shift = self._shift(model, optimiser, update, generator)
        removing = optimiser.register_step_pre_hook(lambda *_: _move(shift, -1))
        putting_back = optimiser.register_step_post_hook(lambda *_: _move(shift, 1))
        try:
            _move(shift, 1)
            record = update()
        finally:
            _move(shift, -1)
            removing.remove()
            putting_back.remove()
        forward, gradient = record.forward_evaluations, record.gradient_evaluations
        if isinstance(method, LossMethod):  # the attack was not repeated
            forward, gradient = len(images) * method.cost.forward, len(images) * method.cost.gradient
        return record._replace(
            forward_evaluations=record.forward_evaluations + forward // self.replays,
            gradient_evaluations=record.gradient_evaluations + gradient // self.replays,
        )

    def _shift(
        self, model: nn.Module, optimiser: Optimizer, update: Callable[[], StepRecord], generator: torch.Generator
    ) -> Shift:
        """Compute the move of the weights from the gradients of `update`; nothing else changes."""
        masks, draws = SameMasks(next(model.parameters()).device), generator.get_state()
        buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
        kept = copy.deepcopy(self._method.state_dict())
        stopping = optimiser.register_step_pre_hook(_stop)
        try:
            update()
        except _Captured:
            pass
        finally:
            stopping.remove()
        with torch.no_grad():
            for buffer, value in buffers:
                buffer.copy_(value)
        self._method.load_state_dict(kept)
        generator.set_state(draws)
        masks.rewind()
        return [
            (weights, self._gamma * weights.norm() / (weights.grad.norm() + _SMALLEST) * weights.grad)
            for weights in model.parameters()
            if weights.grad is not None and weights.ndim > 1
        ]

    def end_epoch(self, model: nn.Module) -> str | None:
        """Call `end_epoch` of the wrapped method."""
        return self._method.end_epoch(model)

    def state_dict(self) -> dict[str, Any]:
        """State of the wrapped method."""
        return self._method.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of the wrapped method."""
        self._method.load_state_dict(state)


def _stop(*_: object) -> None:
    raise _Captured


def _move(shift: Shift, sign: int) -> None:
    with torch.no_grad():
        for weights, change in shift:
            weights.add_(change, alpha=sign)
