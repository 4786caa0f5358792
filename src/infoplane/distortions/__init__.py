"""Distortions: changes of images that each destroy one kind of cue, and the list of them.

Names are imported when they are first used, so the list of distortions can be read without importing torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
