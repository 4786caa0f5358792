"""Datasets: download, read as bytes, verify, choose examples and augment.

Names are imported when they are first used, so the list of datasets can be read without importing torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
