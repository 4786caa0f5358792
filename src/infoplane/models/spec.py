"""`ModelSpec`: name, description, settings and builder of one network."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from infoplane.errors import UserError, broken_rule
from infoplane.models.key_layout import KeyLayout
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
        width: in pixels, if the images are not square, and `image_size` is their height; else None.
    """

    image_size: int
    channels: int
    classes: int
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    width: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        return self.channels, self.image_size, self.width or self.image_size

    def of_squares(self) -> dict[str, Any]:
        """Return the facts by name, without `width`, for a network that takes square images only."""
        return {name: value for name, value in self._asdict().items() if name != "width"}


CIFAR = ImageFacts(32, 3, 10, 0.0, 1.0)  # colour images of 32 pixels, ten classes
MNIST = ImageFacts(28, 1, 10, 0.0, 1.0)  # grey images of 28 pixels, ten classes


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
        any_shape: whether the network takes images that are not square.
        source: the paper, for lists.
        usual_images: images of the literature, for which `parameters` holds; None if there are none.
        parameters: number of weights with the default settings for such images.
        key_layout: names of the weights in published files; None if such files have the names of this network.
    """

    name: str
    description: str
    build: Callable[[ImageFacts, Any], "nn.Module"]
    settings: type[ModelSettings] = ModelSettings
    normalises: bool = False
    channels_last: bool = False
    any_shape: bool = False
    source: str = ""
    usual_images: ImageFacts | None = None
    parameters: int | None = None
    key_layout: KeyLayout | None = None

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
