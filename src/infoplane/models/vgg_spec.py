"""Specs of VGG networks: names, descriptions, settings and builder."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane.models.spec import CIFAR, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


class VGGSettings(ModelSettings):
    """Settings of VGG networks: width."""

    width: int = Field(64, ge=1)
    """Channels of the first stage."""


def _spec(depth: int, parameters: int) -> ModelSpec:
    def build(facts: ImageFacts, settings: VGGSettings) -> "nn.Module":
        from infoplane.models.vgg import VGG

        return VGG(depth, **settings.model_dump(), **facts.of_squares())

    return ModelSpec(
        name=f"vgg{depth}",
        description=f"VGG-{depth} with BatchNorm and one linear layer",
        source="Simonyan & Zisserman (2015), arXiv:1409.1556",
        build=build,
        settings=VGGSettings,
        normalises=True,
        channels_last=True,
        usual_images=CIFAR,
        parameters=parameters,
    )


VGG11 = _spec(11, 9_231_114)
VGG16 = _spec(16, 14_728_266)
