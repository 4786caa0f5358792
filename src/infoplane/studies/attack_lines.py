"""Say before a study what its attacks are: settings and cost of each."""

from infoplane.attacks import AttackSpec, attacks_named
from infoplane.config import AttackConfig, FlowConfig
from infoplane.studies.flow.substitute import substitute_schedule


def attack_lines(config: FlowConfig) -> list[str]:
    """Return one line per attack: its settings, and the passes that it takes per image.

    Args:
        config: settings of a study, with the names of its attacks.
    """
    specs = attacks_named(config.attacks, config.attack.norm).values()
    return [
        f"attack {spec.name} ({spec.threat}): {_settings(spec, config.attack)}{_cost(spec, config)}" for spec in specs
    ]


def _settings(spec: AttackSpec, settings: AttackConfig) -> str:
    named = [f"{name} {_written(name, getattr(settings, name))}" for name in spec.settings]
    return f"{', '.join(named)}; " if named else ""


def _written(name: str, value: object) -> str:
    """Return a setting as people write it: steps of pixels as fractions of 255 where they are whole."""
    if not isinstance(value, float):
        return str(value)
    whole = round(255 * value)
    return f"{whole}/255" if name in ("epsilon", "step_size") and abs(255 * value - whole) < 1e-6 else f"{value:g}"


def _cost(spec: AttackSpec, config: FlowConfig) -> str:
    """Return the largest cost of one image, and what the attack takes beforehand."""
    if spec.is_own:
        return "cost unknown: it is your own function"
    gradients, queries = spec.cost(config.attack), spec.queries
    parts = [
        f"{number:,} {what}"
        for number, what in ((gradients, _one("gradient", gradients)), (queries, _one("forward pass", queries)))
        if number
    ]
    text = f"{' and '.join(parts) or 'no passes'} per image"
    if spec.needs_source:
        epochs = substitute_schedule(config.training).epochs
        text += f", on a substitute that is trained normally for {epochs} {_one('epoch', epochs)} per seed beforehand"
    return text


def _one(what: str, number: int) -> str:
    return what if number == 1 else f"{what}es" if what.endswith("s") else f"{what}s"
