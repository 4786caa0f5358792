"""Attacks: values that turn images into adversarial examples and leave everything else as it was."""

from infoplane.attacks.hygiene import AttackWarning
from infoplane.attacks.pgd import L2PGD, PGD, LinfPGD

__all__ = ["L2PGD", "PGD", "AttackWarning", "LinfPGD"]
