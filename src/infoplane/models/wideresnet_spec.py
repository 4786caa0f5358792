"""Spec of wide residual networks: name, description, settings and builder."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane.models.key_layout import KeyLayout
from infoplane.models.spec import CIFAR, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


class WideResNetSettings(ModelSettings):
    """Settings of wide residual networks: depth, width and activation."""

    depth: int = Field(10, ge=10)
    """Depth of a WideResNet, 6n + 4."""
    widen_factor: int = Field(1, ge=1)
    """Width of a WideResNet."""
    negative_slope: float = Field(0.1, ge=0, lt=1)
    """Slope of a WideResNet's LeakyReLU below 0; 0 is ReLU."""


def _build(facts: ImageFacts, settings: WideResNetSettings) -> "nn.Module":
    from infoplane.models.wideresnet import WideResNet

    return WideResNet(**settings.model_dump(), **facts.of_squares())


WIDERESNET = ModelSpec(
    name="wideresnet",
    description="wide residual network with BatchNorm and LeakyReLU, by default WideResNet-10-1",
    source="Zagoruyko & Komodakis (2016), arXiv:1605.07146",
    build=_build,
    settings=WideResNetSettings,
    normalises=True,
    channels_last=True,
    usual_images=CIFAR,
    parameters=77_850,
    # Of RobustBench's WideResNets. Some files hold a second first block, which their networks do not use.
    key_layout=KeyLayout(
        renamed=(
            (r"^conv1\.", "stem."),
            (r"^bn1\.", "bn."),
            (r"^fc\.", "linear."),
            (r"^block(\d)\.layer\.(\d+)\.convShortcut\.", r"group\1.\2.shortcut."),
            (r"^block(\d)\.layer\.", r"group\1."),
        ),
        unused=r"^sub_block1\.",
        usual_settings=(("negative_slope", 0.0),),
    ),
)
