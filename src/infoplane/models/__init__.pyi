from .layers import chosen_layers as chosen_layers
from .layers import default_layers as default_layers
from .lenet5 import LeNet5 as LeNet5
from .load import construct as construct
from .load import model_from_path as model_from_path
from .normalisation import Normalise as Normalise
from .wideresnet import WideResNet as WideResNet
