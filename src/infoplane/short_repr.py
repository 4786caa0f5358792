"""How results and records show themselves: a few lines, also where they hold thousands of numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

Class = TypeVar("Class", bound=type)

_WIDTH = 100
_LONGEST, _LONGEST_LIST = 80, 4
# Where the error, the ceiling and the null of a number lie that has no field of the kind "label_error".
_BESIDE = {
    "value_nats": ("standard_error", "ceiling_nats", "null_quantile95_nats"),
    "information": ("error", "", ""),
    "value": ("error", "ceiling", ""),
}


def with_short_repr(shown: Class) -> Class:
    """Give a dataclass or NamedTuple the repr of `short_repr`, as a decorator."""
    shown.__repr__ = short_repr  # type: ignore[assignment]
    return shown


def short_repr(result: Any) -> str:
    """Return the fields of a dataclass or NamedTuple in a few lines of at most 100 characters.

    A number stands with its standard error, ceiling and 95 % quantile of its null where the result holds them. Of
    tensors and tables the shape is shown, of long lists the length; fields that are None are left out.
    """
    if is_dataclass(result):
        named = {field.name: getattr(result, field.name) for field in fields(result)}
    else:
        named = result._asdict()
    *parts, last = [*_parts(named)] or [""]
    lines = [f"{type(result).__name__}("]
    for part in [f"{part}, " for part in parts] + [f"{last})"]:
        if len(lines[-1] + part.rstrip()) > _WIDTH and lines[-1].strip():
            lines.append("    ")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _parts(named: Mapping[str, Any]) -> Iterator[str]:
    """Each field as text, without those that stand beside another."""
    beside: set[str] = {name for name in ("errors", "nulls") if named.get(name)}
    texts = {}
    for name, value in named.items():
        if isinstance(value, float):
            texts[name] = f"{name}={value:.4g}{_beside(name, named, beside)}"
        elif value is not None:
            texts[name] = f"{name}={_shown(value)}"
    yield from (text for name, text in texts.items() if name not in beside)


def _beside(name: str, named: Mapping[str, Any], beside: set[str]) -> str:
    """What stands beside a number; the names of the fields that it comes from are added to `beside`."""
    error, top, null = _BESIDE.get(name, (f"{name}_error", f"{name}_ceiling", ""))
    if top not in named and not name.endswith("_bound"):  # label_lower and label_upper share label_ceiling
        top = f"{name.partition('_')[0]}_ceiling"
    spread, ceiling = (named.get("errors") or {}).get(name, named.get(error)), named.get(top)
    if spread is None:
        return ""
    beside |= {error, top, null}
    permuted = (named.get("nulls") or {}).get(name)
    quantile = permuted.quantile95 if permuted is not None else named.get(null)
    # An error there would say how sure the ceiling is. A result with an interval may truly be as high.
    saturated = named.get("saturated", ceiling is not None and "upper" not in named and named[name] > 0.95 * ceiling)
    notes = ["saturated"] if saturated else []
    notes += [f"{what} {limit:.4g}" for what, limit in (("ceiling", ceiling), ("null", quantile)) if limit is not None]
    return ("" if saturated else f" ± {spread:.2g}") + (f" ({', '.join(notes)})" if notes else "")


def _shown(value: Any) -> str:
    if hasattr(value, "shape"):
        return f"{type(value).__name__} {tuple(value.shape)}"
    if isinstance(value, Mapping):
        return f"{{{len(value)} entries}}" if value else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        plain = all(isinstance(one, str | int | float) for one in value)
        if plain and len(value) <= _LONGEST_LIST:
            return f"[{', '.join(_shown(one) for one in value)}]"
        kinds = " or ".join(sorted({type(one).__name__ for one in value}))
        return f"[{len(value)} of {kinds}]" if value else "[]"
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(repr(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
