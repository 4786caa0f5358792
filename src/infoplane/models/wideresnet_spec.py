"""Spec of wide residual networks: name, description, settings and builder."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane.models.spec import ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


class WideResNetSettings(ModelSettings):
    """Settings of wide residual networks: depth and width."""

    depth: int = Field(10, ge=10)
    """Depth of a WideResNet, 6n + 4."""
    widen_factor: int = Field(1, ge=1)
    """Width of a WideResNet."""


def _build(facts: ImageFacts, settings: WideResNetSettings) -> "nn.Module":
    from infoplane.models.wideresnet import WideResNet

    return WideResNet(**settings.model_dump(), **facts._asdict())


WIDERESNET = ModelSpec(
    name="wideresnet",
    description="wide residual network with BatchNorm and LeakyReLU, by default WideResNet-10-1",
    build=_build,
    settings=WideResNetSettings,
    normalises=True,
    channels_last=True,
)
