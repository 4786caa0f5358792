"""Say before a study what its attacks are: settings and cost of each."""

from infoplane.attacks import AttackSpec, attacks_named
from infoplane.config import AttackConfig, FlowConfig
from infoplane.studies.flow.substitute import substitute_schedule
from infoplane.text import counted


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
    passes = ((spec.cost(config.attack), "gradient"), (spec.queries, "forward pass"))
    text = f"{' and '.join(counted(number, what) for number, what in passes if number) or 'no passes'} per image"
    if spec.needs_source:
        epochs = counted(substitute_schedule(config.training).epochs, "epoch")
        text += f", on a substitute that is trained normally for {epochs} per seed beforehand"
    return text
