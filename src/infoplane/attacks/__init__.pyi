from .contract import apply_attack as apply_attack
from .hygiene import AttackWarning as AttackWarning
from .hygiene import merged_attack_warnings as merged_attack_warnings
from .pgd import L2PGD as L2PGD
from .pgd import PGD as PGD
from .pgd import LinfPGD as LinfPGD
from .protocol import Attack as Attack
