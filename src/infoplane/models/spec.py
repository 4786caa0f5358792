"""`ModelSpec`: name, description, settings and builder of one network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from infoplane.errors import UserError, broken_rule
from infoplane.text import with_field_help

if TYPE_CHECKING:
    from torch import nn


@with_field_help
class ImageFacts(NamedTuple):
    """What a network is built for.

    Attributes:
        image_size: height and width in pixels.
        channels: of the images.
        classes: number of classes.
        mean: of the pixels, one number or one per channel: see `Normalise`.
        std: of the pixels, likewise.
    """

    image_size: int
    channels: int
    classes: int
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]


class ModelSettings(BaseModel):
    """Base class of the settings that only one network has; the docstring of a field is its help text."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One network. Torch is imported inside `build`.

    Args:
        name: as typed on the command line.
        description: one line, for help and documentation.
        build: function that returns the network with its initial weights, drawn from torch's global generator; it
            raises ValueError if the settings do not fit the images.
        settings: settings that only this network has.
        normalises: whether the network subtracts the mean of the pixels and divides by their std.
        channels_last: whether the network runs in the channels-last memory format, which is twice as fast on a CPU.
    """

    name: str
    description: str
    build: Callable[[ImageFacts, Any], "nn.Module"]
    settings: type[ModelSettings] = ModelSettings
    normalises: bool = False
    channels_last: bool = False

    def checked(self, given: Mapping[str, Any]) -> ModelSettings:
        """Return the given settings as an object, with defaults for the others.

        Raises:
            UserError: the network has no such setting, or a value is not valid.
        """
        try:
            return self.settings.model_validate(dict(given))
        except ValidationError as error:
            refusal = error.errors()[0]
            name = str(refusal["loc"][0])
            option = f"--model.{name.replace('_', '-')}"
            if refusal["type"] == "extra_forbidden":
                known = f"only {names}" if (names := ", ".join(self.settings.model_fields)) else "no settings"
                raise UserError(f"{option}: the model {self.name} has no setting {name!r}; it has {known}") from None
            raise UserError(f"{option} {broken_rule(refusal)}") from None
