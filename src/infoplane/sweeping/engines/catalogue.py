"""List of the engines. To add one, write its file and add one line here."""

from infoplane.errors import unknown_name
from infoplane.sweeping.engines.engine import EngineSpec
from infoplane.sweeping.engines.local import LOCAL
from infoplane.sweeping.engines.ray import RAY
from infoplane.sweeping.engines.slurm import SLURM

# The engines that there are.
ENGINES: list[EngineSpec] = [LOCAL, RAY, SLURM]


def engine_named(name: str) -> EngineSpec:
    """Return an engine by its name.

    Raises:
        UserError: there is none of that name.
    """
    for engine in ENGINES:
        if engine.name == name:
            return engine
    raise unknown_name("engine", name, [engine.name for engine in ENGINES])
