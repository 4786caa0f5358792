"""Base class of the attacks that other libraries compute: the contract of `Attack` at their boundary."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

import logging
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from infoplane.attacks.extras import LIBRARIES, check_installed, load
from infoplane.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

_LOGGERS = ("art", "auto-attack")


@dataclass(frozen=True, kw_only=True)
class LibraryAttack(ABC):
    """An attack of another library. A subclass writes `run`, in which the library may do what it likes.

    Around `run`, everything is as `apply_attack` describes: modes, buffers, gradients and generators are put back, and
    the library draws from generators that follow `generator`. Its logging and warnings are silenced, ours are not.

    Args:
        name: of the attack's spec.

    Raises:
        UserError: the library is not installed.
    """

    extra: ClassVar[str]
    knows_targets: ClassVar[bool] = True

    name: str

    def __post_init__(self) -> None:
        check_installed(self.name, self.extra)

    @abstractmethod
    def run(
        self, model: nn.Module, images: Tensor, labels: Tensor, target: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Return the attacked images, in [0, 1]; arguments as in `Attack`."""

    def __call__(
        self,
        model: nn.Module,
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """Return attacked images in [0, 1]; see `Attack`.

        Raises:
            ValueError: an argument is outside the description of `Attack`.
            UserError: the attack knows no targets, or not this number of classes.
        """
        from infoplane.attacks.contract import apply_attack
        from infoplane.checks import check_images, check_labels
        from infoplane.randomness import isolated_array_generators

        check_images(images)
        check_labels(labels, len(images))
        if target is not None:
            check_labels(target, len(images), name="target")
            if not self.knows_targets:
                raise UserError(f"the attack {self.name} knows no targets; leave out target")

        def guarded(
            model: nn.Module,
            images: Tensor,
            labels: Tensor,
            *,
            generator: torch.Generator,
            target: Tensor | None = None,
        ) -> Tensor:
            with library_silenced(self.extra):
                return self.run(model, images, labels.long(), target, generator)

        guarded.__name__ = self.name  # for error messages
        with isolated_array_generators(0), library_silenced(self.extra):
            load(self.extra)
        return apply_attack(guarded, model, images, labels, generator=generator, target=target)


@contextmanager
def library_silenced(extra: str) -> Iterator[None]:
    """Silence warnings and logging of a library inside the block, and keep the tracing function of a debugger."""
    levels = [(logger, logger.level) for logger in map(logging.getLogger, _LOGGERS)]
    tracing = sys.gettrace()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=rf"{LIBRARIES[extra].module}(\.|$)")
        try:
            for logger, _ in levels:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in levels:
                logger.setLevel(level)
            if sys.gettrace() is not tracing:  # pyautoattack switches it off
                sys.settrace(tracing)
