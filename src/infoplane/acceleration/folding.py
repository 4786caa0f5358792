"""BatchNorm with fixed statistics as part of the convolution before it, while an attack holds the weights still."""

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node


def foldable_pairs(network: nn.Module, images: Tensor) -> tuple[tuple[str, str], ...]:
    """Return the names of convolutions and of the BatchNorms that alone see what these give, as `images` pass.

    Read from the graph of one pass: whether anything else uses a convolution's output is not written in the layers.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)`; a few are enough.
    """
    gave: dict[Node, list[str]] = {}
    took: dict[Node, list[str]] = {}
    layers = dict(network.named_modules())
    hooks = []
    for name, layer in layers.items():
        if type(layer) is nn.Conv2d:
            hooks.append(layer.register_forward_hook(lambda _, __, output, name=name: _note(gave, output, name)))
        elif type(layer) is nn.BatchNorm2d and layer.running_mean is not None:
            hooks.append(layer.register_forward_pre_hook(lambda _, given, name=name: _note(took, given[0], name)))
    try:
        with torch.enable_grad():
            logits = network(images.detach().clone().requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    uses = _uses(logits.grad_fn)
    calls = [name for names in (*gave.values(), *took.values()) for name in names]
    return tuple(
        (convolution, norm)
        for node, (convolution, *_) in gave.items()
        for norm in took.get(node, ())
        if uses.get(node) == 1 and calls.count(convolution) == calls.count(norm) == 1
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


def _note(known: dict[Node, list[str]], tensor: Tensor, name: str) -> None:
    if tensor.grad_fn is not None:
        known.setdefault(tensor.grad_fn, []).append(name)


def _uses(last: Node | None) -> dict[Node, int]:
    """Count for each node of a graph how many others take its output."""
    uses: dict[Node, int] = {}
    ahead = [last] if last is not None else []
    while ahead:
        for node, _ in ahead.pop().next_functions:
            if node is not None:
                if node not in uses:
                    ahead.append(node)
                uses[node] = uses.get(node, 0) + 1
    return uses
