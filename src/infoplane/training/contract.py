"""Check a user's own training method; each violation gives one line that names the function."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infoplane.errors import UserError
from infoplane.training.method import Attacker, Batch, BatchLoss, LossMethod, StepRecord, TrainingMethod
from infoplane.user_code import described

_PARTS = ("step", "replays", "end_epoch", "state_dict", "load_state_dict")


def checked_method(method: Any, path: str) -> TrainingMethod:
    """Check that the object is a training method, and return a method that checks each step.

    Args:
        method: the object that the user's function returned.
        path: path of the function, for messages.

    Raises:
        UserError: the object is not a training method.
    """
    if isinstance(method, LossMethod):
        attack = None if method.attack is None else _CheckedAttack(method.attack, path)
        return replace(method, loss=_CheckedLoss(method.loss, path), attack=attack)
    missing = [part for part in _PARTS if not hasattr(method, part)]
    if missing or isinstance(method, type):
        found = method.__name__ if isinstance(method, type) else type(method).__name__
        raise UserError(
            f"the training method {path} returned {found}; it must return an infoplane.training.LossMethod, or an "
            f"object with {', '.join(_PARTS)} (a subclass of infoplane.training.Stateless needs step alone)"
        )
    if type(method.replays) is not int or method.replays < 1:
        raise UserError(f"the training method {path} must have replays of at least 1, got {method.replays!r:.60}")
    return _CheckedMethod(method, path)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Add the name of the user's function to errors."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"the training method {path} raised {described(error)} while training; correct it") from error


@dataclass(frozen=True)
class _CheckedLoss:
    _loss: Any
    _path: str

    def __call__(self, model: nn.Module, batch: Batch) -> BatchLoss:
        with _named(self._path):
            result = self._loss(model, batch)
        if not isinstance(result, BatchLoss) or not _is_scalar(result.loss) or not _is_scalar(result.correct):
            raise UserError(
                f"the training method {self._path} has a loss that returned {_shown(result)}; it must return "
                "infoplane.training.BatchLoss(loss, correct) of two tensors without dimensions"
            )
        if not result.loss.requires_grad:
            raise UserError(f"the training method {self._path} has a loss that does not depend on the weights")
        return result


@dataclass(frozen=True)
class _CheckedAttack:
    _attack: Attacker
    _path: str

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, *, generator: torch.Generator) -> Tensor:
        with _named(self._path):
            return self._attack(model, images, labels, generator=generator)


class _CheckedMethod:
    def __init__(self, method: TrainingMethod, path: str) -> None:
        self._method, self._path = method, path

    @property
    def replays(self) -> int:
        return self._method.replays

    def step(
        self, model: nn.Module, optimiser: Optimizer, images: Tensor, labels: Tensor, *, generator: torch.Generator
    ) -> StepRecord:
        with _named(self._path):
            record = self._method.step(model, optimiser, images, labels, generator=generator)
        if not isinstance(record, StepRecord) or not _is_scalar(record.loss) or not _is_scalar(record.correct):
            raise UserError(
                f"the training method {self._path} has a step that returned {_shown(record)}; it must return an "
                "infoplane.training.StepRecord whose loss and correct are tensors without dimensions"
            )
        return record

    def end_epoch(self, model: nn.Module) -> str | None:
        with _named(self._path):
            return self._method.end_epoch(model)

    def state_dict(self) -> dict[str, Any]:
        with _named(self._path):
            return self._method.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._method.load_state_dict(state)


def _is_scalar(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim == 0


def _shown(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
