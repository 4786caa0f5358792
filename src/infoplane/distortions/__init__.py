"""Changes of images that each destroy one kind of cue, and the list of them.

The names are loaded when they are first used: reading the lists of what there is costs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
