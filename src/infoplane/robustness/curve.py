"""Accuracy against epsilon: the share of images that survive PGD in balls of growing radius."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from infoplane.attacks import AttackWarning
from infoplane.attacks.balls import Norm
from infoplane.attacks.contract import Ball
from infoplane.measuring.evaluate import attack_images, evaluate
from infoplane.robustness.suites import curve_attack

_SHARES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)


def curve_epsilons(norm: Norm, images: Tensor) -> tuple[float, ...]:
    """Return eight radii, ascending. In the last ball every image can become uniformly grey.

    So no network can have an accuracy above that of a constant answer there.

    Args:
        norm: of the balls.
        images: `(n, channels, height, width)`.
    """
    largest = 0.5 if norm == "linf" else 0.5 * math.sqrt(images[0].numel())
    return tuple(share * largest for share in _SHARES)


def survivors(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    correct: Tensor,
    norm: Norm,
    epsilons: Sequence[float],
    generator_of: Callable[[int], torch.Generator],
    *,
    draws: int = 1,
    all_steps: bool = False,
    classifier: nn.Module | None = None,
) -> Iterator[Tensor]:
    """Yield for each radius which images are still classified correctly, `(n,)` bool on the CPU.

    A ball contains every smaller one, so an image that was broken at a smaller radius stays broken, and only the
    others are attacked.

    Args:
        model: in evaluation mode.
        images: `(n, channels, height, width)` float32 in [0, 1].
        labels: `(n,)` integers.
        correct: `(n,)` bool, on the device of the images: whether the original is classified correctly.
        norm: of the balls.
        epsilons: radii, ascending.
        generator_of: function of the place of a radius that returns the source of its random draws.
        draws: passes over which the attack averages gradients.
        all_steps: whether the attack stops at no image early, as for networks with random parts.
        classifier: network with random parts that classifies the attacked images; None for `model`, without any.
    """
    left = correct.clone()
    for place, epsilon in enumerate(epsilons):
        if bool(left.any()):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", AttackWarning)  # counted where the same attack is run at one radius
                attacked = attack_images(
                    model,
                    curve_attack(Ball(norm, epsilon), draws, all_steps=all_steps),
                    images[left],
                    labels[left],
                    generator=generator_of(place),
                )
            if classifier is None:
                predicted = evaluate(model, attacked, labels[left]).predicted
            else:  # in the batches of the originals: its random numbers follow the place of an image
                every = images.clone()
                every[left] = attacked
                predicted = evaluate(classifier, every, labels).predicted[left.cpu()]
            left[left.clone()] = predicted.to(labels.device) == labels[left]
        yield left.cpu().clone()  # on a CPU, `left` itself
