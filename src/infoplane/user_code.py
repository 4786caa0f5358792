"""Find and call the user's own functions, which the command line names as package.module:function."""

import difflib
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from infoplane.errors import UserError

Function = Callable[..., Any]


def find_function(path: str, what: str) -> Function:
    """Import a function by its path.

    The current directory is searched first. It stays on `sys.path` for imports that the function makes later.

    Args:
        path: "package.module:function"; a class serves as well.
        what: what the function returns, for messages, e.g. "model" or "data".

    Raises:
        UserError: there is no such module or function, or importing it raises.
    """
    module_name, separator, function_name = path.partition(":")
    if not (separator and module_name and function_name):
        raise UserError(f"the {what} {path!r} must be written as package.module:function")
    return _find(_import(module_name), function_name, path, what)


def call_function(function: Function, facts: Mapping[str, Any], path: str, what: str) -> Any:
    """Call a function with those of `facts` that are parameters of it.

    Args:
        function: as `find_function` returns it.
        facts: the arguments that can be passed, by name.
        path: path of the function, for messages.
        what: what the function returns, for messages.

    Raises:
        UserError: the function needs other arguments than `facts`, or raises.
    """
    arguments = accepted_facts(function, facts, path, what)
    try:
        return function(**arguments)
    except (Exception, SystemExit) as error:
        raise UserError(f"the {what} {path} raised {described(error)}; correct it, or name another function") from error


def accepted_facts(function: Function, facts: Mapping[str, Any], path: str, what: str) -> dict[str, Any]:
    """Return those of `facts` that are parameters of a function.

    Raises:
        UserError: the function needs other arguments than `facts`.
    """
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
            f"the {what} {path} asks for {', '.join(missing)}; only {', '.join(facts) or 'nothing'} can be passed "
            "(by name), so give the others a default"
        )
    return {name: value for name, value in facts.items() if name in accepted}


def described(error: BaseException) -> str:
    """Return the kind and the message of an error of the user's code, on one line."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:300]}" if message else type(error).__name__


def _import(name: str) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    importlib.invalidate_caches()  # the file may be younger than the interpreter's listing of its folder
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A wrong path, not a missing module that the user's file imports.
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UserError(f"no module {name!r} in {folder} or among installed packages; check the path") from None
        raise UserError(f"importing {name!r} raised {described(error)}; install it, or correct that file") from error
    except (Exception, SystemExit) as error:
        raise UserError(f"importing {name!r} raised {described(error)}; correct that file") from error


def _find(module: ModuleType, name: str, path: str, what: str) -> Function:
    found: object = getattr(module, name, None)
    if callable(found):
        return found
    if found is not None:
        raise UserError(f"the {what} {path} is a {type(found).__name__}; name a function that returns the {what}")
    functions = [other for other, value in vars(module).items() if callable(value) and not other.startswith("_")]
    close = difflib.get_close_matches(name, functions, n=1)
    advice = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(functions) or 'none'}"
    raise UserError(f"{module.__name__!r} has no function {name!r}; {advice}")
