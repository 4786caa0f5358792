"""Evaluation mode for a block of code, restored module by module."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put `model` into evaluation mode inside the block.

    Afterwards the mode of every module is restored. `model.train()` would unfreeze a BatchNorm that the caller froze.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
