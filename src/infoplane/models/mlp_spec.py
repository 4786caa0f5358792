"""Specs of multilayer perceptrons: names, descriptions, settings and builder."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from infoplane.models.spec import MNIST, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


class MLPSettings(ModelSettings):
    """Settings of multilayer perceptrons: layers and activation."""

    hidden: str = Field("1024-1024", pattern=r"^[1-9]\d*(-[1-9]\d*)*$")
    """Units of each hidden layer of a perceptron, joined by hyphens."""
    activation: Literal["relu", "tanh"] = "relu"
    """Activation of a perceptron's hidden layers."""


class TanhMLPSettings(MLPSettings):
    """Settings of the perceptron of the tanh literature."""

    hidden: str = Field("10-7-5-4-3", pattern=r"^[1-9]\d*(-[1-9]\d*)*$")
    """Units of each hidden layer of a perceptron, joined by hyphens."""
    activation: Literal["relu", "tanh"] = "tanh"
    """Activation of a perceptron's hidden layers."""


def _build(facts: ImageFacts, settings: MLPSettings) -> "nn.Module":
    from infoplane.models.mlp import MLP

    return MLP([int(units) for units in settings.hidden.split("-")], settings.activation, **facts._asdict())


MLP_1024 = ModelSpec(
    name="mlp",
    description="multilayer perceptron, by default with two hidden layers of 1,024 units and ReLU",
    source="as in Alemi et al. (2017), arXiv:1612.00410",
    build=_build,
    settings=MLPSettings,
    normalises=True,
    any_shape=True,
    usual_images=MNIST,
    parameters=1_863_690,
)
MLP_TANH = ModelSpec(
    name="mlp-tanh",
    description="multilayer perceptron 12-10-7-5-4-3-2 with tanh, for vectors as images of one row",
    source="Shwartz-Ziv & Tishby (2017), arXiv:1703.00810",
    build=_build,
    settings=TanhMLPSettings,
    normalises=True,
    any_shape=True,
    usual_images=ImageFacts(1, 1, 2, 0.0, 1.0, width=12),
    parameters=294,
)
