"""List of the engines. To add one, write its file and add one line here."""

from infoplane.errors import unknown_name
from infoplane.sweeping.engines.engine import EngineSpec
from infoplane.sweeping.engines.local import LOCAL

# The engines that there are.
ENGINES: list[EngineSpec] = [LOCAL]


def engine_named(name: str) -> EngineSpec:
    """Return an engine by its name.

    Raises:
        UserError: there is none of that name.
    """
    for engine in ENGINES:
        if engine.name == name:
            return engine
    raise unknown_name("engine", name, [engine.name for engine in ENGINES])
