"""Options for settings that only one network has, such as --model.depth of WideResNet."""

from typing import Annotated, Any, Union

import tyro
from pydantic import BaseModel, create_model

from infoplane.models import catalogue


def model_options() -> type[BaseModel]:
    """Return a model with a field for each setting that any network has; a setting that is not typed is None."""
    fields: dict[str, Any] = {}
    types: dict[str, Any] = {}
    for model in catalogue.MODELS:
        for name, field in model.settings.model_fields.items():
            types[name] = Union[field.annotation, types.get(name, field.annotation)]  # noqa: UP007
            option = tyro.conf.arg(
                metavar=getattr(field.annotation, "__name__", "value").upper(),
                help=field.description,
                help_behavior_hint=f"(default of {model.name}: {field.default})",
            )
            fields[name] = (Annotated[Union[types[name], None], option], None)  # noqa: UP007
    return create_model("ModelOptions", **fields)
