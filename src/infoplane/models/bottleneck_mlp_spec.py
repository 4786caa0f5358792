"""Specs of perceptrons with a stochastic bottleneck: names, descriptions, settings and builder."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from infoplane.models.spec import MNIST, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn

_UNITS = r"^([1-9]\d*(-[1-9]\d*)*)?$"


class BottleneckSettings(ModelSettings):
    """Settings of a perceptron with a stochastic bottleneck."""

    hidden: str = Field("1024-1024", pattern=_UNITS)
    """Units of each hidden layer of the encoder, joined by hyphens."""
    code: int = Field(256, ge=1)
    """Units of the stochastic layer."""
    decoder: str = Field("", pattern=_UNITS)
    """Units of each hidden layer between the stochastic layer and the logits, joined by hyphens; empty: none."""
    noise: Literal["diagonal", "scalar", "unit"] = "diagonal"
    """Noise of the stochastic layer: a variance per image and unit, one trainable variance, or variance 1."""


class NIBSettings(BottleneckSettings):
    """Settings of the perceptron of the nonlinear information bottleneck."""

    hidden: str = Field("128-128", pattern=_UNITS)
    """Units of each hidden layer of the encoder, joined by hyphens."""
    code: int = Field(10, ge=1)
    """Units of the stochastic layer."""
    decoder: str = Field("128", pattern=_UNITS)
    """Units of each hidden layer between the stochastic layer and the logits, joined by hyphens; empty: none."""
    noise: Literal["diagonal", "scalar", "unit"] = "scalar"
    """Noise of the stochastic layer: a variance per image and unit, one trainable variance, or variance 1."""


class CEBSettings(BottleneckSettings):
    """Settings of the perceptron of the conditional entropy bottleneck."""

    noise: Literal["diagonal", "scalar", "unit"] = "unit"
    """Noise of the stochastic layer: a variance per image and unit, one trainable variance, or variance 1."""


def _build(facts: ImageFacts, settings: BottleneckSettings) -> "nn.Module":
    from infoplane.models.bottleneck_mlp import BottleneckMLP

    hidden, decoder = (
        [int(units) for units in text.split("-") if units] for text in (settings.hidden, settings.decoder)
    )
    return BottleneckMLP(hidden, settings.code, decoder, settings.noise, **facts._asdict())


MLP_VIB = ModelSpec(
    name="mlp-vib",
    description="perceptron 1024-1024 with a stochastic layer of 256 units, its noise per image and unit",
    source="Alemi et al. (2017), arXiv:1612.00410",
    build=_build,
    settings=BottleneckSettings,
    normalises=True,
    any_shape=True,
    usual_images=MNIST,
    parameters=2_380_810,
)
MLP_NIB = ModelSpec(
    name="mlp-nib",
    description="perceptron 128-128 with a stochastic layer of 10 units, one trainable noise, and a decoder",
    source="Kolchinsky, Tracey & Wolpert (2019), Entropy 21(12), 1181",
    build=_build,
    settings=NIBSettings,
    normalises=True,
    any_shape=True,
    usual_images=MNIST,
    parameters=120_981,
)
MLP_CEB = ModelSpec(
    name="mlp-ceb",
    description="perceptron 1024-1024 with a stochastic layer of 256 units and unit noise",
    source="Fischer (2020), Entropy 22(9), 999",
    build=_build,
    settings=CEBSettings,
    normalises=True,
    any_shape=True,
    usual_images=MNIST,
    parameters=2_120_970,
)
