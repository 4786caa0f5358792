"""Specs of residual networks: names, descriptions, settings and builder."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane.models.key_layout import KeyLayout
from infoplane.models.spec import CIFAR, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


class ResNetSettings(ModelSettings):
    """Settings of residual networks: width."""

    width: int = Field(64, ge=1)
    """Channels of the first stage."""


# Of RobustBench's ResNets, which have the names of a widespread repository for CIFAR-10.
_LAYOUT = KeyLayout(renamed=((r"^conv1\.", "stem.conv."), (r"^bn1\.", "stem.bn."), (r"^layer(\d)\.", r"stage\1.")))


def _spec(depth: int, parameters: int) -> ModelSpec:
    def build(facts: ImageFacts, settings: ResNetSettings) -> "nn.Module":
        from infoplane.models.resnet import ResNet

        return ResNet(depth, **settings.model_dump(), **facts.of_squares())

    return ModelSpec(
        name=f"resnet{depth}",
        description=f"ResNet-{depth} with a 3x3 stem and no max-pooling",
        source="He et al. (2016), arXiv:1512.03385",
        build=build,
        settings=ResNetSettings,
        normalises=True,
        channels_last=True,
        usual_images=CIFAR,
        parameters=parameters,
        key_layout=_LAYOUT,
    )


RESNET18 = _spec(18, 11_173_962)
RESNET34 = _spec(34, 21_282_122)
RESNET50 = _spec(50, 23_520_842)
