"""Attacks: values that turn images into adversarial examples and leave everything else as it was."""

from infoplane.attacks.hygiene import AttackWarning
from infoplane.attacks.pgd import LinfPGD
from infoplane.attacks.protocol import Attack

__all__ = ["Attack", "AttackWarning", "LinfPGD"]
