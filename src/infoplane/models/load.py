"""From a seed, or from a name on the command line, to a network."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from infoplane.errors import UserError
from infoplane.randomness import isolated_global_generator
from infoplane.user_code import call_function, find_function

Network = TypeVar("Network", bound=nn.Module)


def construct(factory: Callable[[], Network], *, seed: int) -> Network:
    """Return `factory()`, whose weights are decided by `seed` alone; torch's global generators stay as they were."""
    with isolated_global_generator(seed):
        return factory()


def model_from_path(path: str, **facts: int) -> nn.Module:
    """Import a function by its path and return the network that it makes.

    Args:
        path: "package.module:function"; a subclass of `nn.Module` serves as well.
        facts: image_size, channels, classes: those that the function's signature has are passed to it.

    Raises:
        UserError: there is no such module or function, it raises, it asks for more than `facts`, or it returns
            something else than an `nn.Module`.
    """
    model = call_function(find_function(path, "model"), facts, path, "model")
    if not isinstance(model, nn.Module):
        raise UserError(f"the model {path} returned {type(model).__name__}; it must return a torch.nn.Module")
    return model
