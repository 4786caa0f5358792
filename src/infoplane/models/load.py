"""Construct a network from a seed, or from a user's own function."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from infoplane.errors import UserError
from infoplane.randomness import isolated_global_generator
from infoplane.user_code import call_function, find_function

Network = TypeVar("Network", bound=nn.Module)


def construct(factory: Callable[[], Network], *, seed: int) -> Network:
    """Return `factory()` with weights that depend on `seed` alone; torch's global generators are restored."""
    with isolated_global_generator(seed):
        return factory()


def model_from_path(path: str, **facts: int) -> nn.Module:
    """Import a function by its path and return the network that it returns.

    Args:
        path: "package.module:function"; a subclass of `nn.Module` can take the function's place.
        facts: image_size, channels and classes. The function is given those that its signature names.

    Raises:
        UserError: there is no such module or function, it raises, it asks for more than `facts`, or it does not
            return an `nn.Module`.
    """
    model = call_function(find_function(path, "model"), facts, path, "model")
    if not isinstance(model, nn.Module):
        raise UserError(f"the model {path} returned {type(model).__name__}; it must return a torch.nn.Module")
    return model
