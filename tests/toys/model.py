"""A network in one file: two linear layers, with a width of its own."""

from pydantic import Field

from infoplane.models import ImageFacts, ModelSettings, ModelSpec


class ToySettings(ModelSettings):
    """Width."""

    hidden_units: int = Field(6, ge=1)
    """Units of the hidden layer."""


def build(facts: ImageFacts, settings: ToySettings):
    from torch import nn

    pixels = facts.channels * facts.image_size**2
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(pixels, settings.hidden_units),
        nn.ReLU(),
        nn.Linear(settings.hidden_units, facts.classes),
    )


TOY_MODEL = ModelSpec(name="toy-layers", description="two linear layers", build=build, settings=ToySettings)
