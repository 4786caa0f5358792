"""Information planes you can trust, for networks under attack.

The names are loaded when they are first used, so that importing the package costs nothing.
"""

import importlib
from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("infoplane")
    if name not in __all__:
        raise AttributeError(f"module 'infoplane' has no attribute {name!r}")
    return _load(name)
