"""Numbers of one network: accuracy under each attack, the worst case, the curve and the alarms."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from infoplane.measuring.intervals import wilson_interval
from infoplane.records.evaluation import CLEAN, ONE_PATH, Accuracy, AttackedAccuracy, CurvePoint
from infoplane.robustness.suites import SuiteAttack
from infoplane.robustness.under_attack import UnderAttack, median


def accuracy_of(right: Tensor) -> Accuracy:
    """Return the share of images that are right, `(n,)` bool, with its Wilson interval."""
    number = int(right.sum())
    interval = wilson_interval(number, len(right))
    return Accuracy(accuracy=number / len(right), low=interval.low, high=interval.high)


def clean_row(correct: Tensor, path: str = ONE_PATH) -> AttackedAccuracy:
    """Return the row of the images without an attack.

    Args:
        correct: `(n,)` bool, whether each image is classified correctly.
        path: how the network was used.
    """
    return AttackedAccuracy(
        **accuracy_of(correct).model_dump(),
        path=path,
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


def attacked_row(attack: SuiteAttack, result: UnderAttack, path: str = ONE_PATH) -> AttackedAccuracy:
    """Return the row of one attack on a network that was used on `path`. Norms are medians over the fooled images."""
    fooled = result.fooled
    found = bool(fooled.any())
    return AttackedAccuracy(
        **accuracy_of(result.robust).model_dump(),
        path=path,
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


def right_under_all(correct: Tensor, results: Mapping[SuiteAttack, UnderAttack]) -> Tensor:
    """Return which images are right under every attack, `(n,)` bool on the CPU: the attacker takes the best for each.

    Args:
        correct: `(n,)` bool, whether each image is classified correctly without an attack.
        results: of each attack.
    """
    return torch.stack([correct.cpu(), *(result.robust for result in results.values())]).all(dim=0)


def worst_case(correct: Tensor, results: Mapping[SuiteAttack, UnderAttack]) -> Accuracy:
    """Return the share of images that are right under every attack; arguments as in `right_under_all`."""
    return accuracy_of(right_under_all(correct, results))


def curve_points(epsilons: Sequence[float], curve: Sequence[Tensor], path: str = ONE_PATH) -> list[CurvePoint]:
    """Return the points of the curve of accuracy against epsilon.

    Args:
        epsilons: radii.
        curve: which images survive at each radius, `(n,)` bool.
        path: how the network was used.
    """
    return [
        CurvePoint(**accuracy_of(left).model_dump(), path=path, epsilon=epsilon)
        for epsilon, left in zip(epsilons, curve, strict=True)
    ]
