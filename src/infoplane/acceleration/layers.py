"""Which layers of a network can compute another way in an attack, and gain by it: tried one by one."""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from infoplane.acceleration.folding import foldable_pairs
from infoplane.acceleration.network import AcceleratedNetwork, Choices
from infoplane.acceleration.row_products import can_go_by_rows, is_small
from infoplane.acceleration.substitutes import Substitutes, weights_held_still

ROUNDS = 5
WORTH = 0.9  # of the usual time


def worthwhile_by_rows(network: nn.Module, images: Tensor, precision: Literal["32", "bf16"]) -> tuple[str, ...]:
    """Return the names of convolutions whose input gradient is faster by rows, at the shapes they meet.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)` in the size and layout of training.
        precision: in which layers compute.
    """
    layers = {
        name: layer for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d) and can_go_by_rows(layer)
    }
    inputs = _inputs(network, layers, images, precision)
    small = {name: features for name, features in inputs.items() if is_small(layers[name], features)}
    with weights_held_still(network):
        return tuple(name for name, features in small.items() if _gains(layers[name], features, precision))


def with_substitutes(network: nn.Module, images: Tensor, candidates: Iterable[Choices]) -> list[Choices]:
    """Return the candidates, and after them each again with substitutes: convolutions by rows where they gain in its
    precision and BatchNorms folded where they can be, max-pooling by rows where it can be, and all. On a GPU there are
    none.

    Args:
        network: in evaluation mode; left as it was.
        images: as for `worthwhile_by_rows`.
        candidates: ways of computing.
    """
    ways = list(candidates)
    if images.is_cuda:
        return ways
    pairs = foldable_pairs(network, images[:2])
    by_rows = {precision: worthwhile_by_rows(network, images, precision) for precision in _precisions(ways)}
    ways += [replace(way, by_rows=by_rows[way.precision], folded=pairs) for way in ways]
    if _pools(network, images[:2]):
        ways += [replace(way, pools=True) for way in ways]
    return list(dict.fromkeys(ways))


def _pools(network: nn.Module, images: Tensor) -> bool:
    seen = Substitutes(pools=True)
    with torch.no_grad(), seen:
        network(images)
    return seen.pooled > 0


def _precisions(ways: Iterable[Choices]) -> list[Literal["32", "bf16"]]:
    return list(dict.fromkeys(way.precision for way in ways))


def _inputs(
    network: nn.Module, layers: dict[str, nn.Conv2d], images: Tensor, precision: Literal["32", "bf16"]
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


def _gains(layer: nn.Conv2d, features: Tensor, precision: Literal["32", "bf16"]) -> bool:
    ways = {"usual": Substitutes(), "by rows": Substitutes([layer])}
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
    return least["by rows"] < WORTH * least["usual"]
