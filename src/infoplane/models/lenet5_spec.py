"""Spec of LeNet-5: name, description and builder."""

from typing import TYPE_CHECKING

from infoplane.models.spec import MNIST, ImageFacts, ModelSettings, ModelSpec

if TYPE_CHECKING:
    from torch import nn


def _build(facts: ImageFacts, _settings: ModelSettings) -> "nn.Module":
    from infoplane.models.lenet5 import LeNet5

    return LeNet5(**facts.of_squares())


LENET5 = ModelSpec(
    name="lenet5",
    description="LeNet-5 with ReLU and max-pooling, for images of 16x16 pixels and more",
    source="LeCun et al. (1998), Proc. IEEE 86(11)",
    build=_build,
    normalises=True,
    channels_last=True,
    usual_images=MNIST,
    parameters=44_426,
)
