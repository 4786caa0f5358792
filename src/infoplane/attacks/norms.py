"""Norms of the perturbations that an attack makes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.attacks.closest import norms_of
from infoplane.attacks.contract import apply_attack
from infoplane.attacks.protocol import Attack
from infoplane.checks import check_at_least
from infoplane.networks.logits import logits_of
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help


@with_field_help
@with_short_repr
class FoundNorms(NamedTuple):
    """The perturbation of each image that an attack returned, `(images,)` each, on the device of the images.

    Attributes:
        l2: Euclidean norm; 0 where the network errs without an attack, infinite where none was found.
        linf: largest change of a pixel, likewise.
        found: whether the returned image is misclassified, or classified as its target.
    """

    l2: Tensor
    linf: Tensor
    found: Tensor


def perturbation_norms(originals: Tensor, attacked: Tensor) -> tuple[Tensor, Tensor]:
    """Return the Euclidean norm and the largest change of a pixel for each image, `(images,)` each.

    Args:
        originals: `(images, channels, height, width)`.
        attacked: likewise.
    """
    changes = attacked - originals
    return norms_of(changes, "l2"), norms_of(changes, "linf")


def minimum_norms(
    attack: Attack,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
    target: Tensor | None = None,
    batch_size: int = 250,
) -> FoundNorms:
    """Attack images and return the norms of the perturbations, checked by a forward pass.

    The median of `l2` is then that of the smallest perturbation, with infinity where none was found.

    Args:
        attack: e.g. `DeepFool()`.
        model: in the mode in which the attack runs it.
        images: `(images, channels, height, width)` in [0, 1].
        labels: `(images,)` integers, the true classes.
        generator: source of all random draws.
        target: `(images,)` integers, classes that the attack aims at.
        batch_size: number of images that are attacked together.

    Raises:
        ValueError: an argument is outside the description above.
    """
    check_at_least(batch_size, 1, name="batch_size")
    parts = []
    for first in range(0, len(images), batch_size):
        part = slice(first, first + batch_size)
        aims = None if target is None else target[part]
        attacked = apply_attack(attack, model, images[part], labels[part], generator=generator, target=aims)
        with torch.no_grad():
            classes = logits_of(model(attacked.clone())).argmax(dim=1)
        found = classes != labels[part] if aims is None else classes == aims
        norms = [torch.where(found, norm, torch.inf) for norm in perturbation_norms(images[part], attacked)]
        parts.append((*norms, found))
    l2, linf, found = (torch.cat(columns) for columns in zip(*parts, strict=True))
    return FoundNorms(l2, linf, found)
