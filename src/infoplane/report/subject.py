"""Names of a run's data, model and classes for titles, tiles, axes and legends."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from infoplane.recipes import data_name, subject
from infoplane.text import one_line

_LONGEST = 12  # longest class name on an axis, in characters


class Subject(NamedTuple):
    """Names of data and model for titles and tiles."""

    title: str
    model: str
    data: str
    class_names: tuple[str, ...]  # empty if the run does not record them


def subject_of(config: Mapping[str, Any], otherwise: str) -> Subject:
    """Return the subject of a run.

    Args:
        config: "study", "settings" and "environment"; missing ones are left out.
        otherwise: the title of a run without settings.
    """
    settings, environment = (_mapping(config.get(part)) for part in ("settings", "environment"))
    data, kept = _mapping(settings.get("data")), _mapping(environment.get("data"))
    title, about = subject(settings) or otherwise, data_name(data)
    if fragment := one_line(str(kept.get("fragment") or "")):
        title, about = f"{title}, fragment", f"{about}, a fragment: {fragment}"
    names = kept.get("classes")
    known = isinstance(names, list) and all(isinstance(name, str) for name in names)
    model = one_line(str(_mapping(settings.get("model")).get("name") or ""))
    return Subject(title, model, about, tuple(map(one_line, names)) if known and names else ())


def class_label(index: int, class_names: Sequence[str]) -> str:
    """Return the shortened name of a class, or its number if the run does not record names."""
    name = class_names[index] if 0 <= index < len(class_names) else str(index)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
