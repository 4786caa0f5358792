"""Names of the options for settings, e.g. --training.batch-size for `training.batch_size`."""

from collections.abc import Iterator

import tyro
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def models_of(options: type[BaseModel], prefix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    """Return the models whose fields are options, each with the prefix of their names."""
    yield options, prefix
    for name, field in options.model_fields.items():
        if (inner := _model_of(field)) is not None:
            yield from models_of(inner, prefix_of(name, field, prefix))


def option_names(options: type[BaseModel]) -> list[str]:
    """Return the full names of all options, including those that turn a switch off."""
    names = []
    for model, prefix in models_of(options):
        for name, field in model.model_fields.items():
            hidden = any(marker in field.metadata for marker in (tyro.conf.Suppress, tyro.conf.Positional))
            if not hidden and _model_of(field) is None:
                names.append(typed_name(name, field, prefix))
                if field.annotation is bool:
                    names.append(typed_name(f"no-{_name(name, field)}", FieldInfo(), prefix))
    return names


def _model_of(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model whose fields are the options of this field, if it has one."""
    made = [one.constructor_factory() for one in field.metadata if getattr(one, "constructor_factory", None)]
    kind = made[0] if made else field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def typed_name(name: str, field: FieldInfo, prefix: str) -> str:
    """Return the option for the field `name`, e.g. "--training.batch-size"."""
    return f"--{prefix}{_name(name, field)}".replace("_", "-")


def prefix_of(name: str, field: FieldInfo, prefix: str) -> str:
    """Return the prefix of the options of a model that is the field `name` of another model."""
    typed = _name(name, field)
    return f"{prefix}{typed}." if typed else prefix


def _name(field_name: str, field: FieldInfo) -> str:
    """Return the name that `tyro.conf.arg` gives to an option, or else that of the field."""
    given = (getattr(one, "name", None) for one in field.metadata)
    return next((name for name in given if name is not None), field_name)
