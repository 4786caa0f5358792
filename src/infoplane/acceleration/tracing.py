"""Who uses what a layer gives, read from the graph of one pass: it is not written in the layers."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

Takers = dict[Node, list[Node]]  # by node of the graph, which others take its output
Calls = dict[Node, list[str]]  # by node, the layers that gave or took its output


def traced(
    network: nn.Module, images: Tensor, givers: Mapping[str, nn.Module], takers: Mapping[str, nn.Module]
) -> tuple[Takers, Calls, Calls]:
    """Pass images and return the graph, who gave its nodes' outputs, and who took them.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)`; a few are enough.
        givers: layers, by name, whose outputs are looked for in the graph.
        takers: likewise, whose inputs are.
    """
    gave: Calls = {}
    took: Calls = {}

    def note(known: Calls, tensor: Tensor, name: str) -> None:
        if tensor.grad_fn is not None:
            known.setdefault(tensor.grad_fn, []).append(name)

    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: note(gave, output, name))
        for name, layer in givers.items()
    ]
    hooks += [
        layer.register_forward_pre_hook(lambda _, given, name=name: note(took, given[0], name))
        for name, layer in takers.items()
    ]
    try:
        with torch.enable_grad():
            logits = network(images.detach().clone().requires_grad_())
    finally:
        for hook in hooks:
            hook.remove()
    return _consumers(logits.grad_fn), gave, took


def _consumers(last: Node | None) -> Takers:
    takers: Takers = {}
    ahead = [last] if last is not None else []
    while ahead:
        taker = ahead.pop()
        for node, _ in taker.next_functions:
            if node is not None:
                if node not in takers:
                    ahead.append(node)
                takers.setdefault(node, []).append(taker)
    return takers
