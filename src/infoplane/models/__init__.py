"""Networks that normalise images themselves and name their probed layers, and loading of a user's own network.

Names are imported when they are first used, so the list of networks can be read without importing torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
