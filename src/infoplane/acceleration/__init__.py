"""Faster ways for a network to compute while it trains and is attacked. Measurements never use them.

Interface: `candidates()` lists the ways that are worth timing, and `wrap()` makes a network compute in one of them. A
way is a `Choices`. What each part gains, and on which processor: docs/acceleration.md.

The names are loaded when they are first used, and the parts in `inner/` when a network needs them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
