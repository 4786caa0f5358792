"""Names of quantities and conditions as a reader sees them."""

from infoplane.records import BINNING, INPUT_INFORMATION, KDE_BD, KDE_KL, KDE_MIXED, LABEL_INFORMATION

STUDY_ESTIMATORS = (KDE_KL, KDE_BD, BINNING)  # the three rows of the study's figure

_ESTIMATORS = {KDE_KL: "KDE (KL)", KDE_BD: "KDE (BD)", KDE_MIXED: "KDE (mixed)", BINNING: "Binning"}
# One kind in both terms bounds I(X;T), while the difference of two such bounds only estimates I(T;Y).
_STANDING = {
    (KDE_KL, INPUT_INFORMATION): "KDE upper bound (KL)",
    (KDE_BD, INPUT_INFORMATION): "KDE lower bound (BD)",
    (KDE_KL, LABEL_INFORMATION): "KDE estimate (KL-KL)",
    (KDE_BD, LABEL_INFORMATION): "KDE estimate (BD-BD)",
}


def estimator_label(estimator: str, quantity: str | None = None) -> str:
    """Name an estimator, with the standing it has for `quantity`; unknown ones keep their own name."""
    name = _ESTIMATORS.get(estimator, estimator)
    return name if quantity is None else _STANDING.get((estimator, quantity), name)


def training_label(training: str) -> str:
    """Name a training method, e.g. "adversarial training"."""
    return f"{training} training"


def examples_label(examples: str) -> str:
    """Name a kind of examples, e.g. "original examples"."""
    return f"{examples} examples"


def curve_label(split: str, examples: str) -> str:
    """Name a performance curve: "train", "test" or "test, adversarial"."""
    return split if examples == "original" else f"{split}, {examples}"


def curve_order(split: str, examples: str) -> tuple[bool, bool, str]:
    """Sort key that puts train first, then test on original examples, then everything else."""
    return (split != "train", examples != "original", curve_label(split, examples))


def estimator_order(estimator: str) -> tuple[int, str]:
    """Sort key that puts the study's estimators first, in its own order."""
    known = STUDY_ESTIMATORS.index(estimator) if estimator in STUDY_ESTIMATORS else len(STUDY_ESTIMATORS)
    return (known, estimator)
