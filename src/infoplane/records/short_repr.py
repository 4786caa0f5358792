"""Short `repr` of results and records: a few lines, also for thousands of numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)

_WIDTH = 100
_LONGEST, _LONGEST_LIST = 80, 4
# Names of a number's fields: the value, its error, ceiling and null.
_NUMBERS = {
    "value": ("error", "ceiling", "null"),
    "value_nats": ("standard_error", "ceiling_nats", "null_quantile95_nats"),
}


def with_short_repr(shown: Class) -> Class:
    """Class decorator: use `short_repr` as the repr of a dataclass or NamedTuple."""
    shown.__repr__ = short_repr  # type: ignore[assignment]
    return shown


def short_repr(result: Any) -> str:
    """Return the fields of a dataclass or NamedTuple in a few lines of at most 100 characters.

    A number is shown with its standard error, its ceiling and the 95 % quantile of its null, if the result has them.
    Tensors and tables are shown by their shape, long lists by their length. Fields that are None are left out.
    """
    *parts, last = [*_parts(result)] or [""]
    lines = [f"{type(result).__name__}("]
    for part in [f"{part}, " for part in parts] + [f"{last})"]:
        if len(lines[-1] + part.rstrip()) > _WIDTH and lines[-1].strip():
            lines.append("    ")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _parts(result: Any) -> Iterator[str]:
    """Yield each field as text, without those that are shown beside a number."""
    named = result._asdict() if hasattr(result, "_asdict") else {one.name: one for one in fields(result)}
    number = next((name for name in _NUMBERS if name in named and hasattr(result, "saturated")), None)
    for name in named:
        value = getattr(result, name)
        if name == number:
            yield f"{name}={_number(result, name)}"
        elif value is not None and not (number and name in _NUMBERS[number]):
            # one of several estimates: show its number only
            yield f"{name}={_number(value, 'value') if hasattr(value, 'estimates') else _shown(value)}"


def _number(result: Any, name: str) -> str:
    """Return a value with its error, ceiling and null. A saturated value is shown without its error."""
    error, ceiling, null = (getattr(result, beside) for beside in _NUMBERS[name])
    notes = ["saturated"] if result.saturated else []
    limits = (("ceiling", ceiling), ("null", getattr(null, "quantile95", null)))
    notes += [f"{what} {limit:.4g}" for what, limit in limits if limit is not None]
    spread = "" if result.saturated or error is None else f" ± {error:.2g}"
    return f"{getattr(result, name):.4g}{spread}" + (f" ({', '.join(notes)})" if notes else "")


def _shown(value: Any) -> str:
    if hasattr(value, "shape"):
        return f"{type(value).__name__} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"{{{len(value)} entries}}" if value else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        plain = all(isinstance(one, str | int | float) for one in value)
        listed = f"[{', '.join(_shown(one) for one in value)}]" if plain and len(value) <= _LONGEST_LIST else ""
        if listed and len(listed) <= _LONGEST:
            return listed
        kinds = " or ".join(sorted({type(one).__name__ for one in value}))
        return f"[{len(value)} of {kinds}]" if value else "[]"
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
