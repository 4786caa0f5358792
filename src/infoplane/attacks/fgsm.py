"""FGSM, the fast gradient sign method. Source: Goodfellow et al. (2015), arXiv:1412.6572, Section 4."""

from typing import TYPE_CHECKING

from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    from infoplane.attacks.pgd import LinfPGD
    from infoplane.config import AttackConfig


def fgsm_attack(settings: "AttackConfig") -> "LinfPGD":
    """Return FGSM: one step of size epsilon along the sign of the gradient, from the original image."""
    from infoplane.attacks.pgd import LinfPGD

    return LinfPGD(epsilon=settings.epsilon, steps=1, step_size=settings.epsilon)


FGSM_SPEC = AttackSpec(
    name="fgsm",
    description="one step of size epsilon along the sign of the gradient (Goodfellow et al. 2015)",
    settings=("epsilon",),
    norms=("linf",),
    build=fgsm_attack,
    cost=lambda _settings: 1,
    source="Goodfellow et al. (2015), arXiv:1412.6572, Section 4",
)
