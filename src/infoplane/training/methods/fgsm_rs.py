"""Spec of FGSM training from a random start, with its guard."""

from typing import TYPE_CHECKING

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Parts, Passes

if TYPE_CHECKING:
    from infoplane.training.method import TrainingMethod


class FGSMRSSettings(MethodSettings):
    """Settings of FGSM from a random start."""

    guard: bool = True
    """Stop fgsm-rs if its robust accuracy collapses within an epoch, and restore the weights before that epoch."""


def _guarded(method: "TrainingMethod", parts: Parts[FGSMRSSettings]) -> "TrainingMethod":
    """Return the method with its guard, which attacks at the full radius from the first epoch on."""
    if not parts.settings.guard:
        return method
    return training.GuardedTraining(method, training.guard_attack(parts.attack.epsilon))


FGSM_RS = MethodSpec(
    name="fgsm-rs",
    description="cross-entropy on images attacked in one step from a random start (Wong et al. 2020)",
    settings=FGSMRSSettings,
    build=lambda parts: training.fgsm_rs_training(parts.attack.epsilon),
    passes=lambda _parts: Passes(2),
    norms=("linf",),
    around=_guarded,
)
