"""Numbers of one network: accuracy under each attack, the worst case, the curve and the alarms."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from infoplane.measuring.intervals import wilson_interval
from infoplane.records.evaluation import CLEAN, Accuracy, AttackedAccuracy, CurvePoint
from infoplane.robustness.suites import SuiteAttack
from infoplane.robustness.under_attack import UnderAttack, median


def accuracy_of(right: Tensor) -> Accuracy:
    """Return the share of images that are right, `(n,)` bool, with its Wilson interval."""
    number = int(right.sum())
    interval = wilson_interval(number, len(right))
    return Accuracy(accuracy=number / len(right), low=interval.low, high=interval.high)


def clean_row(correct: Tensor) -> AttackedAccuracy:
    """Return the row of the images without an attack.

    Args:
        correct: `(n,)` bool, whether each image is classified correctly.
    """
    return AttackedAccuracy(
        **accuracy_of(correct).model_dump(),
        attack=CLEAN,
        description="the original images",
        threat="none",
        attacked=0,
        fooled=0,
        outside=0,
        median_l2=None,
        median_linf=None,
        seconds=0.0,
        forward=0.0,
        gradient=0.0,
        complaints={},
    )


def attacked_row(attack: SuiteAttack, result: UnderAttack) -> AttackedAccuracy:
    """Return the row of one attack. Norms are medians over the fooled images."""
    fooled = result.fooled
    found = bool(fooled.any())
    return AttackedAccuracy(
        **accuracy_of(result.robust).model_dump(),
        attack=attack.name,
        description=attack.description,
        threat=attack.threat,
        attacked=result.attacked,
        fooled=int(fooled.sum()),
        outside=int((fooled & result.robust).sum()),
        median_l2=median(result.l2[fooled]) if found else None,
        median_linf=median(result.linf[fooled]) if found else None,
        seconds=result.seconds,
        forward=result.forward / max(1, result.attacked),
        gradient=result.gradient / max(1, result.attacked),
        complaints=result.complaints,
    )


def worst_case(correct: Tensor, results: Mapping[SuiteAttack, UnderAttack]) -> Accuracy:
    """Return the share of images that are right under every attack: the attacker takes the best for each image."""
    return accuracy_of(torch.stack([correct.cpu(), *(result.robust for result in results.values())]).all(dim=0))


def curve_points(epsilons: Sequence[float], curve: Sequence[Tensor]) -> list[CurvePoint]:
    """Return the points of the curve of accuracy against epsilon.

    Args:
        epsilons: radii.
        curve: which images survive at each radius, `(n,)` bool.
    """
    return [
        CurvePoint(**accuracy_of(left).model_dump(), epsilon=epsilon)
        for epsilon, left in zip(epsilons, curve, strict=True)
    ]
