"""Options of commands that read weights from elsewhere: which network they are of, and which images it gets."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from infoplane.errors import UserError

if TYPE_CHECKING:
    from infoplane.config import DataConfig, ModelConfig


class Part(BaseModel):
    """Base class of a group of options."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ImageOptions(Part):
    """The images."""

    folder: str | None = None
    """Where a published dataset lies, as for infoplane flow."""
    image_size: Annotated[int, Field(ge=1)] | None = None
    """Height and width in pixels that images are resized to."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Decides the choice of images and the attacks' random draws; by default 0."""


class PixelOptions(Part):
    """Normalisation of the pixels."""

    mean: tuple[float, ...] | None = None
    """Subtracted from the pixels by the first layer of a named network."""
    std: tuple[float, ...] | None = None
    """What the pixels are divided by after that."""


def data_config(given: str, options: ImageOptions) -> "DataConfig":
    """Return the settings of the images that `--data` names.

    Args:
        given: name of a dataset, or a path of the user's own data.
        options: how they are read.

    Raises:
        UserError: a folder was typed for data of the user's own.
    """
    from infoplane.config import DataConfig
    from infoplane.data.catalogue import given_data, shipped_datasets

    typed: dict[str, Any] = options.model_dump(exclude_none=True)
    data = given_data(given)
    if "folder" in data and "folder" in typed:
        names = ", ".join(one.name for one in shipped_datasets())
        raise UserError(f"--data.folder is where a published dataset lies ({names})")
    return DataConfig(**data, **typed)


def network_config(name: str, typed: BaseModel | None, pixels: PixelOptions) -> "ModelConfig":
    """Return the settings of the network that `--model` names.

    Args:
        name: of a network, or package.module:function.
        typed: settings that only this network has.
        pixels: normalisation.

    Raises:
        UserError: there is no such network, or it has no such setting.
    """
    from infoplane.config import ModelConfig
    from infoplane.models.catalogue import model_named

    given = typed.model_dump(exclude_none=True) if typed is not None else {}
    settings = model_named(name).checked(given).model_dump()
    return ModelConfig(name=name, settings=settings, **pixels.model_dump(exclude_none=True))
