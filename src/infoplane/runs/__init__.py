"""Runs: the folder that keeps settings, records and checkpoints of a run.

The names are loaded when they are first used: torch is imported then.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
