"""Convert nested training state to tensors and JSON, so that a checkpoint never needs unpickling."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def split_state(state: Any) -> tuple[dict[str, Tensor], Any]:
    """Split nested dicts and lists into tensors and JSON.

    Returns:
        The tensors by name, and a JSON value in which {"tensor": name} replaces each tensor.

    Raises:
        TypeError: the state holds something that is neither a tensor nor a JSON value.
    """
    tensors: dict[str, Tensor] = {}

    def visit(value: Any, path: str) -> Any:
        match value:
            case Tensor():
                while path in tensors:  # {"a.b": ...} beside {"a": {"b": ...}}
                    path += "'"
                tensors[path] = value
                return {"tensor": path}
            case Mapping():
                # pairs, not an object: JSON would turn the optimiser's integer keys into strings
                return {"pairs": [[key, visit(item, f"{path}.{key}")] for key, item in value.items()]}
            case list() | tuple():
                return {"list": [visit(item, f"{path}.{index}") for index, item in enumerate(value)]}
            case None | bool() | int() | float() | str():
                return value
            case _:
                raise TypeError(f"state{path} is a {type(value).__name__}; only tensors and JSON values are kept")

    return tensors, visit(state, "")


def join_state(tensors: Mapping[str, Tensor], skeleton: Any) -> Any:
    """Join the tensors and the JSON value of `split_state` again."""
    match skeleton:
        case {"tensor": name}:
            return tensors[name]
        case {"pairs": pairs}:
            return {key: join_state(tensors, item) for key, item in pairs}
        case {"list": items}:
            return [join_state(tensors, item) for item in items]
        case _:
            return skeleton
