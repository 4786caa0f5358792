"""Attacks: values that turn images into adversarial examples and leave everything else as it was."""

from infoplane.attacks.hygiene import AttackWarning
from infoplane.attacks.pgd import LinfPGD

__all__ = ["AttackWarning", "LinfPGD"]
