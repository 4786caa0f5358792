"""Networks with normalisation inside and a default choice of probed layers, and the way to a user's own network."""

from infoplane.models.layers import chosen_layers, default_layers
from infoplane.models.lenet5 import LeNet5
from infoplane.models.load import construct, model_from_path
from infoplane.models.normalisation import Normalise
from infoplane.models.wideresnet import WideResNet

__all__ = ["LeNet5", "Normalise", "WideResNet", "chosen_layers", "construct", "default_layers", "model_from_path"]
