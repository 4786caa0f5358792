"""Labels of estimators, trainings and examples in tables and figures."""

from collections.abc import Sequence

from infoplane.measuring import instruments
from infoplane.records.standing import NEAR_NATS, SATURATED_SHARE
from infoplane.records.tables import (
    BINNING,
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    KDE_KL,
    LABEL_INFORMATION,
    NOISY,
    ORIGINAL,
    OWN_NOISE,
    RATE,
    RELATIVE_NOISE,
    SWEPT_NOISE,
)
from infoplane.report.examples import examples_order

# What "sat" and "undersampled" beside a number mean.
SAT = (
    f"above {100 * SATURATED_SHARE:g} % of the ceiling, or a Monte Carlo I(X;T) within {NEAR_NATS:g} nats of it: "
    "the estimator ran out of examples or labels, or the lower KDE bound cannot be higher"
)
FEW_PERMUTATIONS = 19  # of so many or fewer, the largest value takes the place of the 95 % quantile
LINEAR_ZERO = "no linear decoder finds anything; another one may (--measurement.decoders linear best)"
UNDERSAMPLED = "the estimate changes when half of the examples are dropped, or most examples are alone in their bins"

AT_OWN = "at the network's own noise"

STUDY_ESTIMATORS = (KDE_KL, KDE_BD, BINNING)  # the three rows of the study's figure

# How `bits.in_bits` names estimators whose noise is not the fixed one ...
RELATIVE, SWEPT, OWN = f"@{RELATIVE_NOISE}", f"@{SWEPT_NOISE}", f"@{OWN_NOISE}"
RELATIVE_ESTIMATORS = (KDE_KL + RELATIVE, KDE_BD + RELATIVE)
NOISY_RELATIVE, NOISY_OWN, RATE_OWN = NOISY + RELATIVE, NOISY + OWN, RATE + OWN
# ... and `bits.plane_points` the planes with decoded I(T;Y); those at fixed noise are in runs without relative noise.
TRUSTED, TRANSFERRED = f"{NOISY_RELATIVE}+{DECODED}", f"{NOISY_RELATIVE}+{DECODED_TRANSFER}"
TRUSTED_FIXED, TRANSFERRED_FIXED = f"{NOISY}+{DECODED}", f"{NOISY}+{DECODED_TRANSFER}"

# Labels of one estimator in a plane whose other axis is from another estimator.
_PLANES = {
    TRUSTED: "Monte Carlo at relative noise against decoded",
    TRANSFERRED: "Monte Carlo at relative noise against decoded (decoders trained on clean)",
    TRUSTED_FIXED: "Monte Carlo against decoded",
    TRANSFERRED_FIXED: "Monte Carlo against decoded (decoders trained on clean)",
}
_PLANES_OF = {
    (TRUSTED, INPUT_INFORMATION): "Monte Carlo, relative noise",
    (TRUSTED, LABEL_INFORMATION): "Decoded",
    (TRUSTED_FIXED, INPUT_INFORMATION): "Monte Carlo",
    (TRUSTED_FIXED, LABEL_INFORMATION): "Decoded",
}


def _labels() -> dict[str, str]:
    """Return the label of every estimator and plane by its name, the most trustworthy first."""
    return _PLANES | {name: label for one in instruments.INSTRUMENTS for name, label in one.labels.items()}


def _labels_of() -> dict[tuple[str, str], str]:
    return _PLANES_OF | {key: label for one in instruments.INSTRUMENTS for key, label in one.labels_of.items()}


def estimator_label(estimator: str, quantity: str | None = None) -> str:
    """Return the label of an estimator, with its kind for `quantity`; unknown estimators keep their name."""
    if estimator.endswith(RELATIVE):
        return f"{estimator_label(estimator.removesuffix(RELATIVE), quantity)}, relative noise"
    if estimator == RATE_OWN:  # it has no other noise
        return estimator_label(RATE, quantity)
    if estimator.endswith(OWN):
        return f"{estimator_label(estimator.removesuffix(OWN), quantity)}, {AT_OWN}"
    name = _labels().get(estimator, estimator)
    return name if quantity is None else _labels_of().get((estimator, quantity), name)


def training_label(training: str) -> str:
    """Return the label of a training method, e.g. "adversarial training"."""
    return f"{training} training"


def at_chance_note(dead: Sequence[tuple[int, str]]) -> str:
    """Return an addition to a title that names trainings at chance, e.g. "; at chance: adversarial training, seed 1".

    Args:
        dead: (seed, training) of each training at chance.
    """
    names = "; ".join(f"{training_label(training)}, seed {seed}" for seed, training in dead)
    return f"; at chance: {names}" if names else ""


def examples_label(examples: str) -> str:
    """Return the label of a kind of examples, e.g. "original examples"."""
    return f"{examples} examples"


def curve_label(split: str, examples: str) -> str:
    """Return the label of a performance curve: "train", "test" or "test, adversarial"."""
    return split if examples == ORIGINAL else f"{split}, {examples}"


def curve_order(split: str, examples: str) -> tuple[bool, bool, bool, bool, str]:
    """Sort key that puts train first, then test on original examples, then each attack."""
    return (split != "train", *examples_order(examples))


def estimator_order(estimator: str) -> tuple[bool, int, str]:
    """Sort key that puts the most trustworthy estimator first, and noise other than the fixed one last."""
    names = list(_labels())
    name, _, noise = (estimator, "", "") if estimator in names else estimator.partition("@")
    return (bool(noise), names.index(name) if name in names else len(names), estimator)
