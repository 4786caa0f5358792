"""From a seed, or from a name on the command line, to a network."""

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from torch import nn

from infoplane.errors import UserError
from infoplane.randomness import isolated_global_generator

Network = TypeVar("Network", bound=nn.Module)


def construct(factory: Callable[[], Network], *, seed: int) -> Network:
    """Return `factory()`, whose weights are decided by `seed` alone; torch's global generators stay as they were."""
    with isolated_global_generator(seed):
        return factory()


def model_from_path(path: str, **facts: int) -> nn.Module:
    """Import a function by its path and return the network that it makes.

    The current directory is searched first, and stays on `sys.path` for what the network imports later.

    Args:
        path: "package.module:function"; a subclass of `nn.Module` serves as well.
        facts: image_size, channels, classes: those that the function's signature has are passed to it.

    Raises:
        UserError: there is no such module or function, it raises, it asks for more than `facts`, or it returns
            something else than an `nn.Module`.
    """
    module_name, separator, function_name = path.partition(":")
    if not (separator and module_name and function_name):
        raise UserError(f"the model {path!r} must be written as package.module:function")
    function = _find(_import(module_name), function_name, path)
    arguments = _accepted(function, facts, path)
    try:
        model = function(**arguments)
    except (Exception, SystemExit) as error:
        raise UserError(f"the model {path} raised {_one_line(error)}; mend it, or name another function") from error
    if not isinstance(model, nn.Module):
        raise UserError(f"the model {path} returned {type(model).__name__}; it must return a torch.nn.Module")
    return model


def _import(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the file may be younger than the interpreter's listing of its folder
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that the user's file imports in vain is another mistake than a wrong path.
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UserError(f"no module {name!r} in {folder} or among installed packages; check the path") from None
        raise UserError(f"importing {name!r} raised {_one_line(error)}; install or mend it") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"importing {name!r} raised {_one_line(error)}; mend that file") from error


def _find(module: ModuleType, name: str, path: str) -> Callable[..., Any]:
    found: object = getattr(module, name, None)
    if callable(found):
        return found
    if found is not None:
        raise UserError(f"the model {path} is a {type(found).__name__}; name a function that returns the network")
    functions = [other for other, value in vars(module).items() if callable(value) and not other.startswith("_")]
    close = difflib.get_close_matches(name, functions, n=1)
    advice = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(functions) or 'none'}"
    raise UserError(f"{module.__name__!r} has no function {name!r}; {advice}")


def _accepted(function: Callable[..., Any], facts: dict[str, int], path: str) -> dict[str, int]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # compiled code need not have a signature
        return {}
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        accepted = set(facts)
    else:
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        accepted = {parameter.name for parameter in parameters if parameter.kind in by_name}
    missing = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and (parameter.name not in facts or parameter.kind is parameter.POSITIONAL_ONLY)
    ]
    if missing:
        raise UserError(
            f"the model {path} asks for {', '.join(missing)}; only {', '.join(facts) or 'nothing'} can be passed "
            "(by name), so give the others a default"
        )
    return {name: value for name, value in facts.items() if name in accepted}


def _one_line(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:300]}" if message else type(error).__name__
