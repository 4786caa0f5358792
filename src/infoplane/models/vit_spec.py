"""Spec of the vision transformer: name, description, settings and builder."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from infoplane.models.spec import CIFAR, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


class VisionTransformerSettings(ModelSettings):
    """Settings of the vision transformer: tokens, size and patches."""

    tokens: Literal["cls", "mean"] = "cls"
    """What the last layer of a ViT reads, and what is probed after each block: the class token, or the mean of all."""
    width: int = Field(192, ge=1)
    """Units of a token, a multiple of the heads."""
    blocks: int = Field(6, ge=1)
    """Blocks of a ViT."""
    heads: int = Field(3, ge=1)
    """Heads of a ViT's attention."""
    patch_size: int = Field(4, ge=1)
    """Height and width in pixels of a ViT's patches, a divisor of those of the images."""


def _build(facts: ImageFacts, settings: VisionTransformerSettings) -> "nn.Module":
    from infoplane.models.vit import VisionTransformer

    return VisionTransformer(**settings.model_dump(), **facts.of_squares())


VIT = ModelSpec(
    name="vit",
    description="vision transformer with patches of 4 pixels and 6 blocks",
    source="Dosovitskiy et al. (2021), arXiv:2010.11929",
    build=_build,
    settings=VisionTransformerSettings,
    normalises=True,
    usual_images=CIFAR,
    parameters=2_693_578,
)
