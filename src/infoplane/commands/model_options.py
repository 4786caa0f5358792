"""Options for settings that only some networks have, such as --model.depth of WideResNet."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import tyro
from pydantic import BaseModel, create_model
from pydantic.fields import FieldInfo

from infoplane.models import catalogue


def model_options() -> type[BaseModel]:
    """Return a model with a field for each setting that any network has; a setting that is not typed is None."""
    found: dict[str, list[tuple[str, FieldInfo]]] = {}
    for model in catalogue.MODELS:
        for name, field in model.settings.model_fields.items():
            found.setdefault(name, []).append((model.name, field))
    fields: dict[str, Any] = {}
    for name, owners in found.items():
        types = list(dict.fromkeys(field.annotation for _, field in owners))
        option = tyro.conf.arg(
            metavar="|".join(map(_metavar, types)), help=_described(owners), help_behavior_hint=_defaults(owners)
        )
        fields[name] = (Annotated[Union[(*types, None)], option], None)
    return create_model("ModelOptions", **fields)


def _metavar(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    return str(getattr(kind, "__name__", "value")).upper()


def _described(owners: Sequence[tuple[str, FieldInfo]]) -> str:
    """Return the description of a setting; where networks describe it differently, each with their names."""
    texts: dict[str, list[str]] = {}
    for model, field in owners:
        texts.setdefault(field.description or "", []).append(model)
    if len(texts) == 1:
        return next(iter(texts))
    return " ".join(f"{', '.join(models)}: {text}" for text, models in texts.items())


def _defaults(owners: Sequence[tuple[str, FieldInfo]]) -> str:
    """Return the default of each network, e.g. "(default of resnet18, vgg11: 64; of vit: 192)"."""
    models: dict[str, list[str]] = {}
    for model, field in owners:
        models.setdefault(str(field.default), []).append(model)
    of_each = "; ".join(f"of {', '.join(names)}: {value}" for value, names in models.items())
    return f"(default {of_each})"
