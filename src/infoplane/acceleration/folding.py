"""BatchNorm with fixed statistics as part of the convolution before it, while an attack holds the weights still."""

import torch
from torch import Tensor, nn

from infoplane.acceleration.tracing import traced


def foldable_pairs(network: nn.Module, images: Tensor) -> tuple[tuple[str, str], ...]:
    """Return the names of convolutions and of the BatchNorms that alone see what these give, as `images` pass.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)`; a few are enough.
    """
    layers = dict(network.named_modules())
    convolutions = {name: layer for name, layer in layers.items() if type(layer) is nn.Conv2d}
    norms = {
        name: layer
        for name, layer in layers.items()
        if type(layer) is nn.BatchNorm2d and layer.running_mean is not None
    }
    takers, gave, took = traced(network, images, convolutions, norms)
    calls = [name for names in (*gave.values(), *took.values()) for name in names]
    return tuple(
        (convolution, norm)
        for node, (convolution, *_) in gave.items()
        for norm in took.get(node, ())
        if len(takers.get(node, ())) == 1 and calls.count(convolution) == calls.count(norm) == 1
    )


def folded(weight: Tensor, bias: Tensor | None, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the one convolution that computes `norm` of the other."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = torch.rsqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean if bias is None else bias - norm.running_mean
    shift = shift * scale
    return weight * scale.view(-1, 1, 1, 1), shift if norm.bias is None else shift + norm.bias
