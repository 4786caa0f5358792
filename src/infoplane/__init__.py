"""Information planes you can trust, for networks under attack.

The names below are loaded when they are first used, so that importing the package costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infoplane import attacks, data, distortions, estimators, findings, models, studies, training
    from infoplane.probes import gather_activations, record_activations, stream_activations
    from infoplane.recipes import RECIPES
    from infoplane.records import flat
    from infoplane.studies import InformationPlane

    __version__: str

__all__ = [
    "RECIPES",
    "InformationPlane",
    "attacks",
    "data",
    "distortions",
    "estimators",
    "findings",
    "flat",
    "gather_activations",
    "models",
    "record_activations",
    "stream_activations",
    "studies",
    "training",
]

_HOMES = {
    "InformationPlane": "infoplane.studies",
    "RECIPES": "infoplane.recipes",
    "flat": "infoplane.records",
    "gather_activations": "infoplane.probes",
    "record_activations": "infoplane.probes",
    "stream_activations": "infoplane.probes",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("infoplane")
    if name not in __all__:
        raise AttributeError(f"module 'infoplane' has no attribute {name!r}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    return importlib.import_module(f"infoplane.{name}")


def __dir__() -> list[str]:
    return sorted(__all__)
