"""Which layers of a network can compute another way in an attack, and gain by it: tried one by one."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal, cast

import torch
from torch import Tensor, nn

from infoplane.acceleration.folding import foldable_pairs
from infoplane.acceleration.network import AcceleratedNetwork, Choices
from infoplane.acceleration.pooled_rows import poolable_convolutions
from infoplane.acceleration.row_products import can_go_by_rows, is_small
from infoplane.acceleration.substitutes import Substitutes, weights_held_still

Precision = Literal["32", "bf16"]

ROUNDS = 5
WORTH = 0.9  # of the usual time


def worthwhile_by_rows(network: nn.Module, images: Tensor, precision: Precision) -> tuple[str, ...]:
    """Return the names of convolutions whose input gradient is faster by rows, at the shapes they meet.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)` in the size and layout of training.
        precision: in which layers compute.
    """
    names = [name for name, layer in network.named_modules() if can_go_by_rows(layer)]
    return _worthwhile(network, names, images, precision, lambda layer: (layer, Substitutes([layer])))


def worthwhile_pooled(network: nn.Module, images: Tensor, precision: Precision) -> tuple[str, ...]:
    """Return the names of convolutions that are faster by rows together with the max-pooling after them, likewise."""
    names = poolable_convolutions(network, images[:2])
    return _worthwhile(
        network, names, images, precision, lambda layer: (_then_pooled(layer), Substitutes(pooled=[layer]))
    )


def with_substitutes(network: nn.Module, images: Tensor, candidates: Iterable[Choices]) -> list[Choices]:
    """Return the candidates, and after them each again with substitutes: convolutions by rows where they gain in its
    precision, and BatchNorms folded where they can be; then these with max-pooling too. On a GPU there are none.

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
    pooled = {precision: worthwhile_pooled(network, images, precision) for precision in _precisions(ways)}
    others = [replace(way, by_rows=by_rows[way.precision], folded=pairs) for way in ways]
    all_of_them = [replace(way, pooled=pooled[way.precision]) for way in others]
    return list(dict.fromkeys([*ways, *others, *all_of_them]))


def _worthwhile(
    network: nn.Module,
    names: Iterable[str],
    images: Tensor,
    precision: Precision,
    way: Callable[[nn.Conv2d], tuple[nn.Module, Substitutes]],
) -> tuple[str, ...]:
    layers = {name: cast(nn.Conv2d, network.get_submodule(name)) for name in names}
    inputs = _inputs(network, layers, images, precision)
    small = {name: features for name, features in inputs.items() if is_small(layers[name], features)}
    with weights_held_still(network):
        return tuple(name for name, features in small.items() if _gains(*way(layers[name]), features, precision))


def _then_pooled(layer: nn.Conv2d) -> nn.Module:
    return nn.Sequential(layer, nn.MaxPool2d(2))


def _precisions(ways: Iterable[Choices]) -> list[Precision]:
    return list(dict.fromkeys(way.precision for way in ways))


def _inputs(
    network: nn.Module, layers: dict[str, nn.Conv2d], images: Tensor, precision: Precision
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


def _gains(layers: nn.Module, substitutes: Substitutes, features: Tensor, precision: Precision) -> bool:
    ways = {"usual": Substitutes(), "by rows": substitutes}
    least = dict.fromkeys(ways, float("inf"))
    with torch.enable_grad():
        for _ in range(ROUNDS):
            for name, way in ways.items():
                pixels = features.clone().requires_grad_()
                began = time.perf_counter()
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"), way:
                    output = layers(pixels)
                torch.autograd.grad(output, pixels, output.detach())
                least[name] = min(least[name], time.perf_counter() - began)
    return least["by rows"] < WORTH * least["usual"]
