"""Networks with many kinds of layers and paths, and a forward and backward pass through them."""

import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration import AcceleratedNetwork
from infoplane.models import (
    MLP,
    VGG,
    BagNet,
    LeNet5,
    PreActResNet18,
    ResNet,
    VisionTransformer,
    WideResNet,
    construct,
)

LAST = torch.channels_last


class Net(nn.Module):
    """Layers, and a function of them and the images."""

    def __init__(self, way, **layers: nn.Module) -> None:
        super().__init__()
        self.way = way
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.gain = nn.Parameter(torch.tensor(1.5))

    def forward(self, images: Tensor) -> Tensor:
        return self.way(self, images)


def conv(channels_in: int = 4, channels_out: int = 4, **named) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, 3, padding=1, **named)


def norm() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(4)


def _after_the_sum(net, images):
    """As in a ResNet: an activation follows the sum, and its output is read twice."""
    features = net.relu(net.bn0(net.conv0(images)))
    features = F.relu(net.bn1(net.conv1(features)) + features)
    return net.linear(F.avg_pool2d(features, 16).flatten(1))


def _raw_and_activated(net, images):
    """The input of an activation is read again: nothing may overwrite it."""
    features = net.conv0(images)
    return net.linear((F.relu(features) + features - F.leaky_relu(features, 0.3)).mean((2, 3)))


def _norms_between(net, images):
    """BatchNorms before a convolution, read twice, before a sum, and before the logits."""
    features = net.conv0(images)
    features = net.conv1(F.relu(net.bn0(features + images[:, :1])))
    seen = F.leaky_relu(net.bn1(torch.add(features, features)), 0.2)
    features = net.conv2(seen) + net.conv3(seen)
    features = net.bn2(features) + net.bn3(features)
    return net.bn4(F.max_pool2d(features, 3, stride=2, padding=1)).flatten(1)


def _called(net, images):
    """Functions without an operation, some of them of values that do not depend on the images."""
    features = torch.sigmoid(net.conv0(images)) * net.gain
    features = torch.cat([features, features.pow(2)], dim=1)[:, ::2]
    shape = features.shape
    features = features.reshape(shape[0], -1).view(shape)
    features *= 3
    return net.linear(net.dropout(net.elu(features - 1)).mean(dim=(2, 3)))


def _again(net, images):
    """One convolution twice, one BatchNorm after two convolutions."""
    features = net.conv1(net.conv1(net.conv0(images)))
    features = net.bn0(features) + net.bn0(net.conv1(features))
    features += net.conv1(images.repeat(1, 2, 1, 1))
    return net.linear(nn.functional.adaptive_avg_pool2d(features, 1).flatten(start_dim=1))


def _beside(net, images):
    """A part whose output is not read, and sums of a tensor with itself."""
    net.conv1(images.repeat(1, 2, 1, 1))
    features = net.dropout(net.conv0(images))
    features = net.dropout(features) + features
    return torch.flatten(net.identity(features), 1)


def _active_sum(net, images):
    """Both activations are given the gradient of the sum, and each masks it."""
    other = net.conv1(images.repeat(1, 2, 1, 1))
    features = net.conv1(F.leaky_relu(net.conv0(images), 0.2) + F.leaky_relu(other, 0.3))
    features = F.leaky_relu(net.conv1(features), 0.2) + (F.leaky_relu(features, 0.3) - 1)
    return net.linear(features.mean((2, 3)))


def _aliases(net, images):
    """Several tensors share memory that is read again: nothing may overwrite it."""
    features = F.relu(net.conv0(images))
    features = features.flatten(1) + torch.sigmoid(net.conv0(images)).flatten(1)
    return F.leaky_relu(torch.tanh(features), 0.3) + features


def _grouped(net, images):
    """BatchNorms before a grouped convolution, and before a convolution and a pooling."""
    features = F.relu(net.bn0(net.conv0(images) + images[:, :1]))
    features = net.grouped(F.relu(net.bn1(net.conv1(features) + F.max_pool2d(features, 3, 1, 1))))
    return net.linear(features.mean((2, 3)))


def _unusual(net, images):
    """Variants of matched layers that need the fallback, and one gradient for several tensors."""
    features = net.falling(net.conv0(images) + 1.0) + F.leaky_relu(images[:, :1], -0.4)
    features = torch.flatten(net.padded(features), 2).unflatten(2, (9, 9))[..., :8, :8] + net.overlapping(features)
    further = net.conv1(features)
    return net.linear(further.mean((2, 3)) * features.mean((2, 3)))


def four(way, **more: nn.Module) -> Net:
    return Net(way, conv0=conv(2), conv1=conv(), linear=nn.Linear(4, 3), **more)


NETWORKS = {
    "lenet": lambda: LeNet5(image_size=16, channels=2, mean=0.2, std=0.4),
    "wide": lambda: WideResNet(depth=16, image_size=16, channels=2),
    "wide, 40 px": lambda: WideResNet(image_size=40, channels=2, mean=0.1),
    "wide with relu": lambda: WideResNet(image_size=16, channels=2, negative_slope=0),
    "resnet": lambda: ResNet(18, width=2, image_size=16, channels=2, mean=0.1),
    "resnet with bottlenecks": lambda: ResNet(50, width=1, image_size=16, channels=2),
    "preactresnet": lambda: PreActResNet18("raw", True, width=2, image_size=16, channels=2),
    "preactresnet, activated": lambda: PreActResNet18("activated", width=2, image_size=16, channels=2),
    "vgg": lambda: VGG(11, width=2, image_size=16, channels=2),
    "bagnet": lambda: BagNet(9, width=1, image_size=16, channels=2),
    "vit": lambda: VisionTransformer(width=6, blocks=2, image_size=16, channels=2),
    "vit, mean": lambda: VisionTransformer("mean", width=6, blocks=2, image_size=16, channels=2),
    "mlp": lambda: MLP((5, 4), image_size=16, channels=2),
    "tanh": lambda: MLP((5, 4), "tanh", image_size=16, channels=2),
    "after the sum": lambda: four(_after_the_sum, relu=nn.ReLU(inplace=True), bn0=norm(), bn1=norm()),
    "raw and activated": lambda: four(_raw_and_activated),
    "norms between": lambda: four(
        _norms_between, conv2=conv(), conv3=conv(bias=False), **{f"bn{number}": norm() for number in range(5)}
    ),
    "called": lambda: four(_called, dropout=nn.Dropout(0.5), elu=nn.ELU()),
    "again": lambda: four(_again, bn0=norm()),
    "beside": lambda: four(_beside, dropout=nn.Dropout(0.5), identity=nn.Identity()),
    "active sum": lambda: four(_active_sum),
    "aliases": lambda: four(_aliases),
    "grouped": lambda: four(_grouped, bn0=norm(), bn1=norm(), grouped=conv(groups=2)),
    "unusual": lambda: four(
        _unusual,
        falling=nn.LeakyReLU(-0.5),
        padded=nn.AvgPool2d(2, padding=1, count_include_pad=False),
        overlapping=nn.AvgPool2d(3, stride=2, padding=1, divisor_override=3),
    ),
    "sequence": lambda: nn.Sequential(
        conv(2),
        norm(),
        nn.LeakyReLU(0.1, inplace=True),
        nn.MaxPool2d(2),
        nn.AvgPool2d(8),
        nn.Flatten(),
        nn.Linear(4, 3),
    ),
}


def prepared(name: str, dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Tensor]:
    """Return a network with statistics and scales of either sign, and images."""
    network = construct(NETWORKS[name], seed=0)
    source = torch.Generator().manual_seed(3)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor in layer.state_dict().values():
                tensor.copy_(torch.rand(tensor.shape, generator=source) + 0.3)
            with torch.no_grad():
                layer.weight[::2] *= -1
    size = 40 if "40" in name else 16
    images = torch.rand(3, 2, size, size, generator=source, dtype=torch.float64)
    return network.to(dtype).to(memory_format=LAST).eval(), images.to(dtype)


def forward_and_backward(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    pixels = images.clone().requires_grad_()
    held = model.frozen_weights() if isinstance(model, AcceleratedNetwork) else contextlib.nullcontext()
    with held:
        logits = model(pixels)
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).to(logits.dtype)
        (gradient,) = torch.autograd.grad((logits * weights).sum(), pixels)
    return logits.detach(), gradient
