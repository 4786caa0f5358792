"""Run one attack on the images that a network classifies correctly, and verify its success."""

import math
import time
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from infoplane.attacks import Attack, AttackWarning
from infoplane.attacks.contract import Ball
from infoplane.attacks.oracle import counted_evaluations
from infoplane.measuring.evaluate import attack_images, evaluate

_ROUNDING = 1e-6  # float32, at the radius of a ball; relative for radii above 1


@dataclass(frozen=True, kw_only=True, eq=False)  # tensors have no single truth value, so == would fail
class UnderAttack:
    """How a network classifies images under one attack. All tensors are on the CPU.

    Args:
        predicted: `(n,)` integers, the class of the attacked image.
        fooled: `(n,)` whether the network classified the original correctly and classifies the attacked image wrongly,
            wherever that image lies.
        robust: `(n,)` whether the network classifies the original correctly, and the attacked image too or that image
            lies outside the ball.
        linf: `(n,)` L-infinity distance from the original.
        l2: `(n,)` Euclidean distance from the original.
        attacked: number of images that the attack was run on: those that the network classifies correctly.
        seconds: time that the attack took, without the verification.
        forward: forward passes of the attack, counted per image.
        gradient: gradients of the attack, counted per image.
        complaints: what the attack warned of (`AttackWarning`), with the number of images concerned.
    """

    predicted: Tensor
    fooled: Tensor
    robust: Tensor
    linf: Tensor
    l2: Tensor
    attacked: int
    seconds: float
    forward: int
    gradient: int
    complaints: dict[str, int]


def under_attack(
    model: nn.Module,
    attack: Attack,
    images: Tensor,
    labels: Tensor,
    correct: Tensor,
    ball: Ball,
    *,
    generator: torch.Generator,
) -> UnderAttack:
    """Attack the images that are classified correctly; verify all images once, in the batches of `evaluate`.

    The attacker can leave an image as it is, so an image that is classified wrongly counts as broken without an attack.
    The batches of the verification are those of the clean accuracy: logits of other batches differ in their last bits.

    Args:
        model: in evaluation mode.
        attack: see `Attack`.
        images: `(n, channels, height, width)` float32 in [0, 1].
        labels: `(n,)` integers.
        correct: `(n,)` bool, on the device of the images: whether the original is classified correctly.
        ball: in which a changed image counts against the network.
        generator: source of all random draws.

    Raises:
        ValueError: the attack breaks its contract, or the network's outputs are not finite.
    """
    return verified(model, examples_of(model, attack, images, labels, correct, generator=generator), correct, ball)


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Attacked images, not yet verified.

    Args:
        originals: `(n, channels, height, width)` float32 in [0, 1].
        labels: `(n,)` integers.
        attacked: like `originals`; those that were not attacked are as they were.
        number: of images that the attack was run on.
        seconds: as in `UnderAttack`, and so are the next.
        forward: likewise.
        gradient: likewise.
        complaints: likewise.
    """

    originals: Tensor
    labels: Tensor
    attacked: Tensor
    number: int
    seconds: float
    forward: int
    gradient: int
    complaints: dict[str, int]


def examples_of(
    model: nn.Module, attack: Attack, images: Tensor, labels: Tensor, correct: Tensor, *, generator: torch.Generator
) -> Examples:
    """Attack the images that are classified correctly; arguments and errors as in `under_attack`."""
    attacked, complaints = images.clone(), dict[str, int]()
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught, counted_evaluations() as passes:
        warnings.simplefilter("always", AttackWarning)
        if bool(correct.any()):
            attacked[correct] = attack_images(model, attack, images[correct], labels[correct], generator=generator)
            _wait_for(images.device)
    seconds = time.perf_counter() - began
    for entry in caught:
        if isinstance(entry.message, AttackWarning):
            complaints[entry.message.complaint] = complaints.get(entry.message.complaint, 0) + entry.message.images
        else:
            warnings.warn_explicit(entry.message, entry.category, entry.filename, entry.lineno)
    return Examples(
        originals=images,
        labels=labels,
        attacked=attacked,
        number=int(correct.sum()),
        seconds=seconds,
        forward=passes.forward,
        gradient=passes.gradient,
        complaints=complaints,
    )


def verified(model: nn.Module, examples: Examples, correct: Tensor, ball: Ball) -> UnderAttack:
    """Classify attacked images.

    Args:
        model: in evaluation mode; it may be another network than the one that was attacked.
        examples: the attacked images.
        correct: `(n,)` bool, on the device of the images: whether `model` classifies the original correctly.
        ball: in which a changed image counts against the network.

    Raises:
        ValueError: the network's outputs are not finite.
    """
    predicted = evaluate(model, examples.attacked, examples.labels).predicted
    right, clean_right = predicted == examples.labels.cpu(), correct.cpu()
    change = (examples.attacked.double() - examples.originals.double()).flatten(start_dim=1).cpu()
    linf, l2 = change.abs().amax(dim=1), torch.linalg.vector_norm(change, dim=1)
    distance = linf if ball.norm == "linf" else l2
    inside = distance <= ball.epsilon + _ROUNDING * max(1.0, ball.epsilon)
    return UnderAttack(
        predicted=predicted,
        fooled=clean_right & ~right,
        robust=clean_right & (right | ~inside),
        linf=linf,
        l2=l2,
        attacked=examples.number,
        seconds=examples.seconds,
        forward=examples.forward,
        gradient=examples.gradient,
        complaints=examples.complaints,
    )


def median(values: Tensor) -> float:
    """Return the median, the mean of the middle two for an even number; NaN without values."""
    return torch.quantile(values.double(), 0.5).item() if len(values) else math.nan


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
