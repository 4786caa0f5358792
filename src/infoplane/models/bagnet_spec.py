"""Spec of BagNets: name, description, settings and builder."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from infoplane.models.spec import CIFAR, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


class BagNetSettings(ModelSettings):
    """Settings of BagNets: receptive field, width and BatchNorm."""

    receptive_field: Literal[7, 9, 11, 17, 19, 33] = 17
    """Height and width in pixels of the patches that a BagNet sees; images are no smaller."""
    width: int = Field(64, ge=1)
    """Channels of the first stage."""
    norm_momentum: float = Field(0.001, gt=0, le=1)
    """Share of each batch in BatchNorm's running statistics of a BagNet; a training of few updates needs more."""


def _build(facts: ImageFacts, settings: BagNetSettings) -> "nn.Module":
    from infoplane.models.bagnet import BagNet

    return BagNet(**settings.model_dump(), **facts.of_squares())


BAGNET = ModelSpec(
    name="bagnet",
    description="BagNet, which averages over patches: decisions from local texture",
    source="Brendel & Bethge (2019), arXiv:1904.00760",
    build=_build,
    settings=BagNetSettings,
    normalises=True,
    channels_last=True,
    usual_images=CIFAR,
    parameters=14_184_522,
)
