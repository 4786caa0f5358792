"""List of the engines. To add one, write its file and add one line here."""

from dataclasses import fields

from infoplane.errors import UserError, unknown_name
from infoplane.sweeping.engines.engine import Engine, EngineSettings, EngineSpec
from infoplane.sweeping.engines.local import LOCAL
from infoplane.sweeping.engines.ray import RAY
from infoplane.sweeping.engines.slurm import SLURM

# The engines that there are.
ENGINES: list[EngineSpec] = [LOCAL, RAY, SLURM]


def engine_named(name: str, settings: EngineSettings) -> Engine:
    """Return the engine of a name with its settings.

    Raises:
        UserError: there is none of that name, it does not take one of the settings, or its extra is not installed.
    """
    engine = next((engine for engine in ENGINES if engine.name == name), None)
    if engine is None:
        raise unknown_name("engine", name, [engine.name for engine in ENGINES])
    for field in fields(settings):
        if field.name != "jobs" and getattr(settings, field.name) != field.default and field.name not in engine.takes:
            others = " or ".join(f"--engine {one.name}" for one in ENGINES if field.name in one.takes)
            raise UserError(f"--{field.name.replace('_', '-')} is not for --engine {name}; add {others}")
    return engine.build(settings)
