"""The networks that infoplane builds. To add one, write its file and add it to the list."""

from typing import TYPE_CHECKING

from infoplane.errors import UserError, unknown_name
from infoplane.models.bagnet_spec import BAGNET
from infoplane.models.bottleneck_mlp_spec import MLP_CEB, MLP_NIB, MLP_VIB
from infoplane.models.lenet5_spec import LENET5
from infoplane.models.mlp_spec import MLP_1024, MLP_TANH
from infoplane.models.preactresnet_spec import PREACTRESNET18
from infoplane.models.resnet_spec import RESNET18, RESNET34, RESNET50
from infoplane.models.spec import ImageFacts, ModelSettings, ModelSpec
from infoplane.models.vgg_spec import VGG11, VGG16
from infoplane.models.vit_spec import VIT
from infoplane.models.wideresnet_spec import WIDERESNET

if TYPE_CHECKING:
    from torch import nn

# The networks that there are.
MODELS: list[ModelSpec] = [
    LENET5,
    WIDERESNET,
    RESNET18,
    RESNET34,
    RESNET50,
    PREACTRESNET18,
    VGG11,
    VGG16,
    BAGNET,
    VIT,
    MLP_1024,
    MLP_TANH,
    MLP_VIB,
    MLP_NIB,
    MLP_CEB,
]


def model_named(name: str) -> ModelSpec:
    """Return the spec of the network with this name, or of the user's own network "package.module:function".

    A user's own function is imported only when the network is built.

    Raises:
        UserError: there is no such network; the message lists all networks.
    """
    known = {model.name: model for model in MODELS}
    if name in known:
        return known[name]
    if ":" in name:
        return _own_model(name)
    if "." in name:
        module, _, function = name.rpartition(".")
        raise UserError(f"unknown model {name!r}; a function of your own is named with a colon: {module}:{function}")
    raise unknown_name("model", name, [*known, "package.module:function"])


def _own_model(path: str) -> ModelSpec:
    def build(facts: ImageFacts, _settings: ModelSettings) -> "nn.Module":
        from infoplane.models.load import model_from_path

        return model_from_path(path, image_size=facts.image_size, channels=facts.channels, classes=facts.classes)

    return ModelSpec(name=path, description="your own function that returns a torch module", build=build)
