"""Attacks: callables that turn images into adversarial examples and leave the model's state unchanged.

Names are imported when they are first used, so the list of attacks can be read without importing torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
