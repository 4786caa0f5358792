"""Which layers of a network gain by computing their input gradient another way: tried one by one."""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from infoplane.acceleration.network import AcceleratedNetwork, Choices
from infoplane.acceleration.substitutes import Substitutes, has_substitute, weights_held_still

ROUNDS = 5
WORTH = 0.9  # of the usual time


def worthwhile_substitutes(network: nn.Module, images: Tensor, precision: Literal["32", "bf16"]) -> tuple[str, ...]:
    """Return the names of layers that are faster with their substitutes, at the shapes they meet.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)` in the size and layout of training. Only a CPU has substitutes.
        precision: in which layers compute.
    """
    if images.is_cuda:
        return ()
    layers = {name: layer for name, layer in network.named_modules() if has_substitute(layer)}
    inputs = _inputs(network, layers, images, precision)
    with weights_held_still(network):
        return tuple(name for name, features in inputs.items() if _gains(layers[name], features, precision))


def with_substitutes(network: nn.Module, images: Tensor, candidates: Iterable[Choices]) -> list[Choices]:
    """Return the candidates, and after them each again with the layers substituted that gain in its precision.

    Args:
        network: in evaluation mode; left as it was.
        images: as for `worthwhile_substitutes`.
        candidates: ways of computing.
    """
    ways = list(candidates)
    gaining = {precision: worthwhile_substitutes(network, images, precision) for precision in _precisions(ways)}
    return ways + [replace(way, substitutes=gaining[way.precision]) for way in ways if gaining[way.precision]]


def _precisions(ways: Iterable[Choices]) -> list[Literal["32", "bf16"]]:
    return list(dict.fromkeys(way.precision for way in ways))


def _inputs(
    network: nn.Module, layers: dict[str, nn.Module], images: Tensor, precision: Literal["32", "bf16"]
) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}

    def remember(name: str) -> torch.utils.hooks.RemovableHandle:
        return layers[name].register_forward_pre_hook(lambda _, given: seen.__setitem__(name, given[0].detach()))

    hooks = [remember(name) for name in layers]
    try:
        with torch.no_grad():
            AcceleratedNetwork(network, Choices(precision=precision))(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _gains(layer: nn.Module, features: Tensor, precision: Literal["32", "bf16"]) -> bool:
    ways = {"usual": Substitutes([]), "substitute": Substitutes([layer])}
    least = dict.fromkeys(ways, float("inf"))
    with torch.enable_grad():
        for _ in range(ROUNDS):
            for name, way in ways.items():
                pixels = features.clone().requires_grad_()
                began = time.perf_counter()
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"), way:
                    output = layer(pixels)
                torch.autograd.grad(output, pixels, output.detach())
                least[name] = min(least[name], time.perf_counter() - began)
    return least["substitute"] < WORTH * least["usual"]
