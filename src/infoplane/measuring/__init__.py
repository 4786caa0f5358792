"""Measuring: from a network and images to records.

The names are loaded when they are first used: torch is imported then.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
