"""Narrow networks of each family, with statistics of BatchNorm that leave nothing out."""

import torch
from torch import nn

from infoplane.models import MODELS, ImageFacts, construct, model_named

NARROW = {
    "resnet18": {"width": 2},
    "resnet34": {"width": 2},
    "resnet50": {"width": 2},
    "preactresnet18": {"width": 2},
    "vgg11": {"width": 2},
    "vgg16": {"width": 2},
    "bagnet": {"width": 2},
    "vit": {"width": 6, "blocks": 2, "heads": 3},
    "mlp": {"hidden": "5-4"},
    "mlp-tanh": {"hidden": "5-4"},
}
NAMES = [model.name for model in MODELS]


def narrow(name: str, image_size: int = 32, channels: int = 3, classes: int = 4, **settings) -> nn.Module:
    """Return the network of a name, narrow, in evaluation mode and in double precision."""
    spec = model_named(name)
    facts = ImageFacts(image_size, channels, classes, 0.4, 0.3)
    chosen = spec.checked(NARROW.get(name, {}) | settings)
    return matter(construct(lambda: spec.build(facts, chosen), seed=0)).double().eval()


def matter(model: nn.Module) -> nn.Module:
    """Make every number matter that could be left out: scales, shifts, statistics and biases."""
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=source) + 0.5)
            elif isinstance(module, nn.LayerNorm | nn.Linear):
                module.bias.add_(torch.rand(module.bias.shape, generator=source) / 2)
    return model


def images(image_size: int = 32, channels: int = 3, number: int = 2) -> torch.Tensor:
    """Return random images in double precision."""
    source = torch.Generator().manual_seed(1)
    return torch.rand(number, channels, image_size, image_size, generator=source, dtype=torch.double)
