"""Alarms: signs that a network's accuracy under attack overstates its robustness (gradient masking).

The signs are those of Athalye, Carlini & Wagner (2018), arXiv:1802.00420, Section 3.1, and of Carlini et al. (2019),
arXiv:1902.06705 (the checklist).
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

from infoplane.measuring.intervals import paired_interval
from infoplane.records.evaluation import Alarm
from infoplane.robustness.outputs import Outputs
from infoplane.robustness.suites import SuiteAttack
from infoplane.robustness.under_attack import UnderAttack

UNUSABLE_SHARE = 0.01  # of the attacked images: from here on, zero or NaN gradients raise an alarm


# What an attack without the network's gradients looked at, by its threat.
_WITHOUT_GRADIENTS = {
    "black-box": "without gradients",
    "transfer": "made on another network",
    "mean path": "made on the mean path",
}


def gradient_free_wins(results: Mapping[SuiteAttack, UnderAttack]) -> list[Alarm]:
    """Compare each attack without the network's gradients with the strongest white-box attack, on the same images.

    Of a network that is used through several draws, its mean path counts as another network: if examples that were made
    there are the stronger ones, the noise may mask the gradients of the draws. The alarm is raised if the paired 95 %
    interval of the difference of the two accuracies lies above 0 (`paired_interval`). An attacker who has the gradients
    can do everything that one without them can, so gradients that help less may be masked. Source: Athalye et al.
    (2018), Section 3.1, "Black-box attacks are better than white-box attacks".
    """
    white_box = {one: result for one, result in results.items() if one.threat == "white-box"}
    if not white_box:
        return []
    strongest = min(white_box, key=lambda one: int(white_box[one].robust.sum()))
    alarms = []
    for one, result in results.items():
        if one.threat not in _WITHOUT_GRADIENTS:
            continue
        held, images = white_box[strongest].robust, len(result.robust)
        by_it, by_white_box = int((held & ~result.robust).sum()), int((~held & result.robust).sum())
        interval = paired_interval(by_it, by_white_box, images)
        if interval.low > 0:
            seen = _WITHOUT_GRADIENTS[one.threat]
            alarms.append(
                Alarm(
                    name="gradient-free attack wins",
                    text=(
                        f"the attack {one.name}, {seen}, leaves {_percent(result.robust)} accuracy and the "
                        f"strongest white-box attack, {strongest.name}, {_percent(held)}: a difference of "
                        f"{100 * (by_it - by_white_box) / images:.1f} points [{100 * interval.low:.1f}, "
                        f"{100 * interval.high:.1f}], so gradients may be masked"
                    ),
                    numbers={
                        "accuracy": _share(result.robust),
                        "white_box_accuracy": _share(held),
                        "broken_by_it_alone": by_it,
                        "broken_by_white_box_alone": by_white_box,
                        "low": interval.low,
                        "high": interval.high,
                    },
                )
            )
    return alarms


def accuracy_left(epsilon: float, survived: Tensor) -> list[Alarm]:
    """Look at the accuracy in the ball in which every image can become uniformly grey.

    Args:
        epsilon: radius of that ball.
        survived: `(n,)` bool.

    Source: Athalye et al. (2018), Section 3.1, "Unbounded attacks do not reach 100 % success".
    """
    number, images = int(survived.sum()), len(survived)
    if not number:
        return []
    return [
        Alarm(
            name="accuracy at the largest epsilon",
            text=(
                f"at epsilon {epsilon:.4g}, where every image can be made grey, {number} of {images} images "
                f"({_percent(survived)}) survive PGD; where the network gives grey another class, it misses the "
                "examples that are there"
            ),
            numbers={"epsilon": epsilon, "survivors": number, "images": images},
        )
    ]


def unusable_gradients(results: Mapping[SuiteAttack, UnderAttack]) -> list[Alarm]:
    """Count the images whose gradients were zero, NaN or infinite in a white-box attack.

    The alarm is raised above 1 % of the attacked images, once for each kind, for the attack that had the most.
    Source: Athalye et al. (2018), Section 3, "shattered" and "vanishing" gradients.
    """
    alarms = []
    for word, kind in (("all-zero", "zero"), ("NaN", "NaN or infinite")):
        counts = {
            one: sum(number for complaint, number in result.complaints.items() if word in complaint)
            for one, result in results.items()
            if one.threat == "white-box" and result.attacked
        }
        worst = max(counts, key=lambda one: counts[one], default=None)
        if worst is None or counts[worst] <= UNUSABLE_SHARE * results[worst].attacked:
            continue
        number, attacked = counts[worst], results[worst].attacked
        alarms.append(
            Alarm(
                name=f"{kind} gradients",
                text=(
                    f"{number} of {attacked} attacked images ({100 * number / attacked:.1f} %) had {kind} gradients "
                    f"under {worst.name}, so gradient attacks could not move them"
                ),
                numbers={"images": number, "attacked": attacked},
            )
        )
    return alarms


def misleading_outputs(outputs: Outputs, *, averaged: bool) -> list[Alarm]:
    """Report outputs that are probabilities, and random outputs over which attacks did not average.

    Args:
        outputs: of the network.
        averaged: whether the attacks averaged gradients over draws.

    Source: Athalye et al. (2018), Section 3, "stochastic" and "vanishing" gradients.
    """
    alarms = []
    if outputs.differing and not averaged:
        alarms.append(
            Alarm(
                name="random outputs",
                text=(
                    f"{outputs.differing} of {outputs.images} images have other outputs in a second pass, so attacks "
                    "must average gradients over draws (draws=20), which these did not"
                ),
                numbers={"differing": outputs.differing, "images": outputs.images},
            )
        )
    if outputs.look_like_softmax:
        alarms.append(
            Alarm(
                name="softmax outputs",
                text=(
                    f"the outputs of all {outputs.images} images sum to 1: the network seems to end in softmax, whose "
                    "gradients vanish; let it return logits"
                ),
                numbers={"images": outputs.images},
            )
        )
    return alarms


def all_alarms(
    results: Mapping[SuiteAttack, UnderAttack],
    outputs: Outputs,
    epsilons: Sequence[float],
    curve: Sequence[Tensor],
    *,
    averaged: bool = False,
) -> list[Alarm]:
    """Return the alarms of one network, or of one way in which it is used.

    Args:
        results: of each attack.
        outputs: of the network.
        epsilons: radii of the curve of accuracy against epsilon.
        curve: which images survive at each radius, `(n,)` bool.
        averaged: whether the attacks averaged gradients over draws.
    """
    return [
        *gradient_free_wins(results),
        *accuracy_left(epsilons[-1], curve[-1]),
        *unusable_gradients(results),
        *misleading_outputs(outputs, averaged=averaged),
    ]


def _share(robust: Tensor) -> float:
    return int(robust.sum()) / len(robust)


def _percent(robust: Tensor) -> str:
    return f"{100 * _share(robust):.1f} %"
