"""Run any attack, also a user's own: check the result and restore the state that the attack changed."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from infoplane.attacks.balls import Norm
from infoplane.attacks.hygiene import GradientHealth
from infoplane.attacks.library import LibraryAttack
from infoplane.attacks.oracle import count_evaluations, counting
from infoplane.attacks.protocol import Attack
from infoplane.attacks.random_target import RandomTarget
from infoplane.attacks.shipped import ShippedAttack
from infoplane.checks import check_images, check_labels
from infoplane.networks.logits import logits_of
from infoplane.randomness import isolated_array_generators, isolated_global_generator

_ROUNDING = 1e-6  # tolerance for float32 rounding at the radius of a ball; relative for radii above 1
_WRITTEN: tuple[tuple[Norm, tuple[str, ...]], ...] = (  # how attacks write the norm of their ball
    ("linf", ("linf", "inf", "l_inf")),
    ("l2", ("l2", "l_2", "2", "2.0")),
)
_ORDERS = {written: norm for norm, forms in _WRITTEN for written in forms}


def apply_attack(
    attack: Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    target: Tensor | None = None,
) -> Tensor:
    """Return the attacked images, detached and on the device of `images`, and restore everything else.

    A `ShippedAttack` and a `LibraryAttack` keep the contract of `Attack` by themselves. Around any other attack, modes,
    buffers, gradients and `requires_grad` flags of the model and the global generators of torch and numpy are put back,
    and the attack works on copies of the images and labels. The images are contiguous, since many attacks flatten with
    `view`, which fails on channels_last. Passes are counted, and unusable gradients are reported.

    Args:
        attack: see `Attack`. If it has attributes `epsilon` and `norm` ("linf" or "l2"), its ball is checked too.
        model: in the mode in which the attack runs it.
        images: `(batch, channels, height, width)`, float32 or float64, in [0, 1].
        labels: `(batch,)` integers.
        generator: source of all random draws.
        target: `(batch,)` integers, classes that the attack aims at.

    Raises:
        ValueError: an argument is outside the description above, or the attack changed the weights, or its result has
            another shape, is not float32 or float64, is not finite, or leaves [0, 1] or the attack's own ball.
    """
    if isinstance(attack.attack if isinstance(attack, RandomTarget) else attack, ShippedAttack | LibraryAttack):
        return attack(model, images, labels, generator=generator, target=target)
    check_images(images)
    check_labels(labels, len(images))
    aim = {} if target is None else {"target": target.clone()}  # an attack of a user need not know targets
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    with (
        _put_back(model),
        isolated_global_generator(seed, images.device),
        isolated_array_generators(seed),
        torch.inference_mode(False),
        torch.enable_grad(),
        _passes_observed(model, images) as health,
    ):
        copied = images.clone(memory_format=torch.contiguous_format)
        result: object = attack(model, copied, labels.clone(), generator=generator, **aim)
    health.warn()  # what is wrong with the gradients may explain why the result is refused
    return _checked(result, images, attack)


@contextmanager
def _passes_observed(model: nn.Module, images: Tensor) -> Iterator[GradientHealth]:
    """Count the passes of an attack that does not count them itself, and look at logits and gradients.

    An attack may take the images in parts. The images of a part are then counted as if they were the first ones: the
    numbers of images with unusable gradients are too small, but not 0.
    """
    health, counted = GradientHealth(len(images), images.device), counting()

    def note_gradient(gradient: Tensor) -> None:
        if counted:
            count_evaluations(gradient=len(gradient))
        part = gradient.detach()[: len(images)]
        health.observe_gradient(part, torch.arange(len(part), device=images.device))

    def note(_module: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        if not given or not isinstance(given[0], Tensor):
            return
        if counted:
            count_evaluations(forward=len(given[0]))
        with contextlib.suppress(ValueError):
            logits = logits_of(output)
            health.observe_logits(logits)
            if logits.requires_grad and given[0].requires_grad:
                given[0].register_hook(note_gradient)  # type: ignore[no-untyped-call]

    handle = model.register_forward_hook(note)
    try:
        yield health
    finally:
        handle.remove()


@contextmanager
def _put_back(model: nn.Module) -> Iterator[None]:
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    weights = [(weight, weight.requires_grad, weight.grad, _Content(weight)) for weight in model.parameters()]
    for weight, *_ in weights:
        weight.grad = None  # gradients that the attack leaves must not reach the caller's optimiser
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for buffer, value in buffers:
            with torch.inference_mode(buffer.is_inference()), torch.no_grad():
                buffer.copy_(value)
        for weight, needed, gradient, _ in weights:
            with torch.inference_mode(weight.is_inference()):
                weight.requires_grad_(needed)
            weight.grad = gradient
    if any(content.has_changed() for *_, content in weights):
        raise ValueError("the attack changed the model's weights; let it work on a copy of the model")


class _Content:
    """Detects changes of a tensor by its version counter, or by a copy if it was made in `torch.inference_mode()`."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor
        self._before = tensor.detach().clone() if tensor.is_inference() else tensor._version

    def has_changed(self) -> bool:
        if isinstance(self._before, Tensor):
            return not torch.equal(self._tensor, self._before)
        return self._tensor._version != self._before


def _checked(result: object, images: Tensor, attack: Any) -> Tensor:
    name = getattr(attack, "__name__", type(attack).__name__)
    if not isinstance(result, Tensor):
        raise ValueError(f"the attack {name} must return the attacked images alone, got {type(result).__name__}")
    if result.shape != images.shape or result.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"the attack {name} must return images of shape {tuple(images.shape)}, float32 or float64 in [0, 1]; "
            f"got {tuple(result.shape)}, {result.dtype}"
        )
    attacked = result.detach().to(device=images.device, dtype=images.dtype)
    if broken := int((~attacked.isfinite()).flatten(start_dim=1).any(dim=1).sum()):
        raise ValueError(f"the attack {name} returned NaN or infinite pixels in {broken} of {len(images)} images")
    lowest, highest = (value.item() for value in torch.aminmax(attacked))
    if lowest < 0 or highest > 1:
        raise ValueError(
            f"the attack {name} must return images in [0, 1], found [{lowest:.9g}, {highest:.9g}]; "
            "let it end in .clamp(0, 1)"
        )
    _check_ball(attacked - images, attack, name)
    return attacked


class Ball(NamedTuple):
    """The ball that an attack states."""

    norm: Norm
    epsilon: float


def stated_ball(attack: Any) -> Ball | None:
    """Return the ball that an attack states by its attributes `epsilon` and `norm`, or None if it states none."""
    epsilon, norm = getattr(attack, "epsilon", None), _ORDERS.get(str(getattr(attack, "norm", "")).lower())
    if norm is None or isinstance(epsilon, bool) or not isinstance(epsilon, int | float):
        return None
    return Ball(norm, epsilon)


def _check_ball(change: Tensor, attack: Any, name: str) -> None:
    ball = stated_ball(attack)
    if ball is None:
        return
    norm, epsilon = ball
    order = float("inf") if norm == "linf" else 2
    farthest = torch.linalg.vector_norm(change.double().flatten(start_dim=1), ord=order, dim=1).max().item()
    if farthest > epsilon + _ROUNDING * max(1.0, epsilon):
        raise ValueError(
            f"the attack {name} moved an image by {farthest:.6g}, farther than its own epsilon {epsilon:.6g} ({norm})"
        )
