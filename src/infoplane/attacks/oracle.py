"""What an attack may ask of a network: logits, and gradients of a function of the logits to the images."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork
from infoplane.attacks.goal import Objective
from infoplane.attacks.hygiene import GradientHealth
from infoplane.networks.logits import logits_of


@dataclass
class Evaluations:
    """Passes of a network, counted per image: a batch of 10 images counts 10."""

    forward: int = 0
    gradient: int = 0


_counters: ContextVar[tuple[Evaluations, ...]] = ContextVar("counters", default=())


@contextmanager
def counted_evaluations() -> Iterator[Evaluations]:
    """Count inside the block the passes that attacks make; blocks may be nested.

    Attacks of this package report their passes. `apply_attack` counts those of any other attack.
    """
    counter = Evaluations()
    token = _counters.set((*_counters.get(), counter))
    try:
        yield counter
    finally:
        _counters.reset(token)


def counting() -> bool:
    """Return whether a block around counts."""
    return bool(_counters.get())


def count_evaluations(*, forward: int = 0, gradient: int = 0) -> None:
    """Add passes to the counters of all blocks around."""
    for counter in _counters.get():
        counter.forward += forward
        counter.gradient += gradient


def fast_gradients(model: nn.Module) -> AbstractContextManager[None]:
    """Return the context in which an accelerated network computes gradients to the images alone, by its fast program.

    For any other network it does nothing.
    """
    return model.frozen_weights() if isinstance(model, AcceleratedNetwork) else nullcontext()


class Oracle:
    """A network as an attack sees it. Every pass is counted, and every gradient is checked.

    Args:
        model: returns logits; the caller chooses its mode.
        health: counts images with unusable gradients.
        draws: passes over which gradients and softmaxes are averaged, for networks that are random when they are used.
            The logits of several draws are the log of their mean softmax, as that classifies.
    """

    def __init__(self, model: nn.Module, health: GradientHealth, *, draws: int = 1) -> None:
        self._model, self._health, self._draws = model, health, draws

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits in the precision of the images, `(batch, classes)`, without a gradient."""
        count_evaluations(forward=len(images) * self._draws)
        with torch.no_grad():
            drawn = [logits_of(self._model(images.clone())) for _ in range(self._draws)]  # it may write over its input
            self._health.observe_logits(drawn[0])
            return _log_mean_softmax([logits.to(images.dtype) for logits in drawn])

    def gradient(self, images: Tensor, objective: Objective, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the logits, and the gradient to the images of what `objective` raises, both detached.

        Args:
            images: `(batch, channels, height, width)`.
            objective: see `Objective`; with several draws it is given the logits of each.
            rows: `(batch,)` places of the images in the attacked batch, if these are not all images.

        Raises:
            ValueError: the logits carry no gradient to the images.
        """
        pixels = images.detach().requires_grad_()
        all_logits, gradients = [], []
        for _ in range(self._draws):
            logits = logits_of(self._model(pixels.clone()))
            if not logits.requires_grad:
                raise ValueError(_NO_GRADIENT)
            # The model may run in lower precision, what is raised never.
            found = logits.detach().to(images.dtype)
            direction = objective(found)
            # autograd.grad, not backward(): an attack leaves no gradients on the weights.
            (gradient,) = torch.autograd.grad(logits, pixels, direction.to(logits.dtype))
            all_logits.append(found)
            gradients.append(gradient)
        count_evaluations(forward=len(images) * self._draws, gradient=len(images) * self._draws)
        gradient = _mean(gradients)
        self._health.observe_logits(all_logits[0])
        self._health.observe_gradient(gradient, rows)
        return _log_mean_softmax(all_logits), gradient

    def gradients(
        self, images: Tensor, objectives: Callable[[Tensor], Tensor], rows: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the logits, and the gradients of several functions, from one forward pass.

        Args:
            images: `(batch, channels, height, width)`.
            objectives: from the logits to the directions of all functions, `(functions, batch, classes)`; see
                `Objective`.
            rows: as in `gradient`.

        Returns:
            Logits `(batch, classes)`, their mean over draws, and gradients `(functions, batch, channels, height,
            width)`, detached.

        Raises:
            ValueError: the logits carry no gradient to the images.
        """
        pixels = images.detach().requires_grad_()
        all_logits, all_gradients = [], []
        for _ in range(self._draws):
            logits = logits_of(self._model(pixels.clone()))
            if not logits.requires_grad:
                raise ValueError(_NO_GRADIENT)
            found = logits.detach().to(images.dtype)
            directions = objectives(found).to(logits.dtype)
            last = len(directions) - 1
            gradients = [
                torch.autograd.grad(logits, pixels, direction, retain_graph=place < last)[0]
                for place, direction in enumerate(directions)
            ]
            all_logits.append(found)
            all_gradients.append(torch.stack(gradients))
            count_evaluations(forward=len(images), gradient=len(images) * len(directions))
        together = _mean(all_gradients)
        self._health.observe_logits(all_logits[0])
        for gradient in together:
            self._health.observe_gradient(gradient, rows)
        # The mean of the logits: smallest-change attacks divide it by the length of the gradients, which are its own.
        return _mean(all_logits), together


_NO_GRADIENT = "the model's logits carry no gradient to the images, which this attack needs"


def _log_mean_softmax(drawn: list[Tensor]) -> Tensor:
    """Return the logits of one draw as they are; of several the log of the mean softmax, as in `AveragedPasses`."""
    if len(drawn) == 1:
        return drawn[0]
    return torch.stack(drawn).log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(drawn))


def _mean(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(dim=0)
