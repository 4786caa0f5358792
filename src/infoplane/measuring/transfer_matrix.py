"""Transfer matrix: examples made on each network, tested on every other one."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import polars as pl
import torch
from torch import Tensor, nn

from infoplane.attacks import Attack
from infoplane.measuring.evaluate import attack_images, evaluate
from infoplane.measuring.intervals import wilson_interval
from infoplane.networks.evaluation_mode import evaluation_mode
from infoplane.randomness import seeded_generator
from infoplane.text import with_field_help


@with_field_help
class Share(NamedTuple):
    """A share of `n` examples with its 95 % interval; NaN of none.

    Attributes:
        value: the share.
        low: lower end.
        high: upper end.
        n: number of examples.
    """

    value: float
    low: float
    high: float
    n: int


def share_of(found: Tensor) -> Share:
    """Return the share of True with the interval of Wilson (`wilson_interval`).

    Args:
        found: `(n,)` bool.
    """
    n = len(found)
    if n == 0:
        return Share(math.nan, math.nan, math.nan, 0)
    return Share(found.double().mean().item(), *wilson_interval(int(found.sum()), n), n)


def transfer_matrix(
    models: Mapping[str, nn.Module],
    attack: Attack,
    images: Tensor,
    labels: Tensor,
    *,
    generator: torch.Generator,
) -> pl.DataFrame:
    """Attack every network, and test the examples on all networks, itself included.

    Every source gets the same random draws. The networks are in evaluation mode, and left as they were.

    Args:
        models: networks by name, for the same images and classes, on their device.
        attack: made on each of them.
        images: `(n, channels, height, width)` floats in [0, 1].
        labels: `(n,)` integers.
        generator: for the draws of the attack.

    Returns:
        A row for each pair: `source`, `target`, `accuracy` of the target on the source's examples with its 95 %
        interval (`accuracy_low`, `accuracy_high`) and their number `n`; `success`, the share of examples that the
        target misclassifies among the `n_both` images that both networks classify rightly, with `success_low` and
        `success_high`; NaN where there is no such image.

    Raises:
        ValueError: as `measuring.evaluate.attack_images`.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    right = {name: _right(model, images, labels) for name, model in models.items()}
    rows = []
    for source, model in models.items():
        draws = seeded_generator(seed, device=images.device)
        with evaluation_mode(model):
            examples = attack_images(model, attack, images, labels, generator=draws)
        for target, other in models.items():
            held = _right(other, examples, labels)
            accuracy, success = share_of(held), share_of(~held[right[source] & right[target]])
            rows.append(
                {
                    "source": source,
                    "target": target,
                    "accuracy": accuracy.value,
                    "accuracy_low": accuracy.low,
                    "accuracy_high": accuracy.high,
                    "n": accuracy.n,
                    "success": success.value,
                    "success_low": success.low,
                    "success_high": success.high,
                    "n_both": success.n,
                }
            )
    return pl.DataFrame(rows)


def _right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with evaluation_mode(model):
        return evaluate(model, images, labels).predicted == labels.cpu()
