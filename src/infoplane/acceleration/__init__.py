"""Faster ways for a network to compute while it trains and is attacked. Probes of layers never use them.

Interface: in training `candidates()` lists the ways that are worth timing, and `wrap()` makes a network compute in one
of them. A way is a `Choices`. Attacks on a network in evaluation mode use `for_attack()`, which needs no timing, except
inside `computed_as_chosen()`. What each part gains, and on which processor: docs/acceleration.md.

The names are loaded when they are first used, and the parts in `inner/` when a network needs them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
