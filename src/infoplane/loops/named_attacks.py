"""Find the name after which the command line makes an attack again that a training loop of the user's own used."""

from collections.abc import Mapping

from pydantic import ValidationError

from infoplane.attacks import ATTACKS, Attack, OwnAttack
from infoplane.attacks.contract import stated_ball
from infoplane.config import AttackConfig
from infoplane.errors import UserError
from infoplane.runs.own_loop import LoopAttack
from infoplane.text import one_line

_LONGEST = 300  # characters of a description


def loop_attacks(
    attacks: Mapping[str, Attack], settings: AttackConfig | None = None
) -> tuple[tuple[LoopAttack, ...], AttackConfig | None]:
    """Return the record of each attack, and the settings with which the named ones among them are made again.

    Args:
        attacks: by the names of their examples.
        settings: with which they were built, if they are known.
    """
    if settings is None:
        settings = next(filter(None, map(_settings, attacks.values())), None)
    return tuple(_recorded(name, attack, settings) for name, attack in attacks.items()), settings


def _settings(attack: Attack) -> AttackConfig | None:
    """Return settings that describe an attack by its ball, step and steps; None if it states none or others."""
    ball = stated_ball(attack)
    if ball is None:
        return None
    steps, step_size = getattr(attack, "steps", 1), getattr(attack, "step_size", ball.epsilon)
    try:
        return AttackConfig(norm=ball.norm, epsilon=ball.epsilon, step_size=step_size, steps=steps)
    except ValidationError:
        return None


def _recorded(examples: str, attack: Attack, settings: AttackConfig | None) -> LoopAttack:
    if isinstance(attack, OwnAttack):
        return LoopAttack(examples=examples, described=attack.__name__, name=attack.__name__)
    return LoopAttack(examples=examples, described=described(attack), name=_name(examples, attack, settings))


def described(attack: Attack) -> str:
    """Return an attack as Python shows it, or the module and name of a function, without addresses in memory."""
    name = getattr(attack, "__qualname__", None)
    if name is not None:
        return one_line(f"{getattr(attack, '__module__', '')}.{name}")[:_LONGEST]
    text = repr(attack)
    shown = type(attack).__qualname__ if " object at 0x" in text or " at 0x" in text else text
    return one_line(shown)[:_LONGEST]


def _name(examples: str, attack: Attack, settings: AttackConfig | None) -> str | None:
    """Return the name of the shipped attack that makes the same examples; None if there is none."""
    for spec in ATTACKS:
        if settings is None or spec.examples != examples or spec.needs_source or settings.norm not in spec.norms:
            continue
        try:
            if spec.build(settings) == attack:
                return spec.name
        except (UserError, ValueError):
            continue
    return None
