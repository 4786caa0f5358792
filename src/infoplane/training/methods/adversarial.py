"""Spec of adversarial training by PGD."""

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes

ADVERSARIAL = MethodSpec(
    name="adversarial",
    description="cross-entropy on images attacked by PGD (Madry et al. 2018)",
    settings=MethodSettings,
    build=lambda parts: training.adversarial_training(parts.attack),
    passes=lambda parts: Passes(parts.attack.steps + 1),
)
