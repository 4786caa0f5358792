"""Spec of PreActResNet-18: name, description, settings and builder."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from infoplane.models.key_layout import KeyLayout
from infoplane.models.spec import CIFAR, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


class PreActResNetSettings(ModelSettings):
    """Settings of PreActResNet-18: its variants, and width."""

    shortcut: Literal["raw", "activated"] = "raw"
    """What projections of a PreActResNet take: the input of their block, or the same after BatchNorm and ReLU."""
    last_norm: bool = False
    """BatchNorm and ReLU before the mean over the last map of a PreActResNet."""
    width: int = Field(64, ge=1)
    """Channels of the first stage."""


def _build(facts: ImageFacts, settings: PreActResNetSettings) -> "nn.Module":
    from infoplane.models.preactresnet import PreActResNet18

    return PreActResNet18(**settings.model_dump(), **facts.of_squares())


PREACTRESNET18 = ModelSpec(
    name="preactresnet18",
    description="residual network with pre-activation, PreActResNet-18",
    source="He et al. (2016), arXiv:1603.05027",
    build=_build,
    settings=PreActResNetSettings,
    normalises=True,
    channels_last=True,
    usual_images=CIFAR,
    parameters=11_171_146,
    # Of RobustBench's PreActResNets.
    key_layout=KeyLayout(
        renamed=(
            (r"^conv1\.", "stem."),
            (r"^layer(\d)\.(\d)\.shortcut\.0\.", r"stage\1.\2.shortcut."),
            (r"^layer(\d)\.", r"stage\1."),
        )
    ),
)
