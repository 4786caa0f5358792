"""Spec of adversarial training, by PGD or by another attack of the list."""

from typing import TYPE_CHECKING

from infoplane import training
from infoplane.attacks.catalogue import ATTACKS
from infoplane.attacks.spec import AttackSpec
from infoplane.config import AttackConfig
from infoplane.errors import UserError, unknown_name
from infoplane.training.spec import MethodSettings, MethodSpec, Parts, Passes

if TYPE_CHECKING:
    from infoplane.training import LossMethod

_FORWARD = 1 / 3  # of the time of a forward and backward pass


class AdversarialSettings(MethodSettings):
    """Settings of adversarial training."""

    adversarial_attack: str = "pgd"
    """Attack by which adversarial trains: any inside the ball (docs/attacks.md). PGD begins at a random point."""


def training_attacks() -> dict[str, AttackSpec]:
    """Return the attacks that a training can use, by name: in the ball, and on the network itself."""
    return {spec.name: spec for spec in ATTACKS if spec.in_ball and not spec.extra and spec.threat != "transfer"}


def check_attack(settings: AdversarialSettings, norm: str, classes: int | None) -> None:
    """Raise UserError if no training can use the attack in this norm, or with so few classes."""
    name, able = settings.adversarial_attack, training_attacks()
    if name not in {spec.name for spec in ATTACKS}:
        raise UserError(f"--method.adversarial-attack: {unknown_name('attack', name, able)}")
    fitting = [spec.name for spec in able.values() if norm in spec.norms and spec.allows(classes)]
    if name not in able:
        reason = "does not train a network: it needs another library or network, or does not stay in the ball"
    elif norm not in able[name].norms:
        reason = f"is not defined for --attack.norm {norm}"
    elif not able[name].allows(classes):
        reason = f"compares {able[name].fewest_classes} logits, and the data have {classes} classes"
    else:
        return
    raise UserError(f"--method.adversarial-attack: {name} {reason}; choose from {', '.join(fitting)}")


def _attack_settings(parts: Parts[AdversarialSettings]) -> AttackConfig:
    pgd = parts.attack
    return AttackConfig(norm=pgd.norm, epsilon=pgd.epsilon, step_size=pgd.step_size, steps=pgd.steps)


def _build(parts: Parts[AdversarialSettings]) -> "LossMethod":
    if parts.settings.adversarial_attack == "pgd":
        return training.adversarial_training(parts.attack)
    spec, settings = training_attacks()[parts.settings.adversarial_attack], _attack_settings(parts)
    gradients = spec.cost(settings)
    cost = training.Cost(forward=gradients + spec.queries, gradient=gradients)
    return training.adversarial_training(spec.build(settings), attack_cost=cost)


def _passes(parts: Parts[AdversarialSettings]) -> Passes:
    spec = training_attacks()[parts.settings.adversarial_attack]
    return Passes(spec.cost(_attack_settings(parts)) + _FORWARD * spec.queries + 1)


ADVERSARIAL = MethodSpec(
    name="adversarial",
    description="cross-entropy on images attacked by PGD (Madry et al. 2018) or another attack",
    settings=AdversarialSettings,
    build=_build,
    passes=_passes,
    check=check_attack,
)
