"""Attacks: values that turn images into adversarial examples and leave everything else as it was."""

from infoplane.attacks.contract import apply_attack
from infoplane.attacks.hygiene import AttackWarning, merged_attack_warnings
from infoplane.attacks.pgd import L2PGD, PGD, LinfPGD
from infoplane.attacks.protocol import Attack

__all__ = ["L2PGD", "PGD", "Attack", "AttackWarning", "LinfPGD", "apply_attack", "merged_attack_warnings"]
