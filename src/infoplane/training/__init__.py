"""Training of networks: one loop, and one file per training method.

Names are imported when they are first used, so the list of methods can be read without importing torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
