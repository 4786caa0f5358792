"""Which layers of a network can compute another way in an attack, and gain by it: tried one by one."""

import copy
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import PLAIN, Choices
from infoplane.acceleration.network import AcceleratedNetwork
from infoplane.acceleration.operations import Convolution, MaxPooling, Operation
from infoplane.acceleration.pixel_groups import ConvolutionByGroups, can_go_by_groups
from infoplane.acceleration.pooled_rows import PooledConvolutionByRows, can_be_pooled
from infoplane.acceleration.reading import poolable_convolutions
from infoplane.acceleration.row_products import ConvolutionByRows, can_go_by_rows, is_small

Precision = Literal["32", "bf16"]

ROUNDS = 5
WORTH = 0.9  # of the usual time
TOLERANCE = 1e-6  # of the largest, between what is read and what is usual
FROZEN = Choices(frozen=True)


def with_frozen(network: nn.Module, images: Tensor, candidates: Iterable[Choices]) -> list[Choices]:
    """Return the candidates, and after them each again with an attack's passes operation by operation: alone, with
    convolutions by rows or groups where they gain in its precision, then with max-pooling too. On a GPU there are none,
    nor for a network that cannot be read so.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)` in the size and layout of training.
        candidates: ways of computing.
    """
    ways = list(candidates)
    if images.is_cuda:
        return ways
    if not _is_read_right(network, images[:8]):
        return ways
    poolable = poolable_convolutions(network)
    frozen = [replace(way, frozen=True) for way in ways]
    all_of_them = [worthwhile(network, images, way, poolable) for way in frozen]
    others = [replace(way, pooled=()) for way in all_of_them]
    return list(dict.fromkeys([*ways, *frozen, *others, *all_of_them]))


def _is_read_right(network: nn.Module, images: Tensor) -> bool:
    """Whether the network can be read, and then gives the usual logits and gradients, all but the last bits."""
    try:
        # in double precision, where sums in another order turn no activation round
        exact = copy.deepcopy(network).double()
        usual, found = (
            _logits_and_gradient(AcceleratedNetwork(exact, way), images.double()) for way in (PLAIN, FROZEN)
        )
    except Exception:  # noqa: BLE001  # read wrongly, a network can fail in any way; the usual one is left
        return False
    return all(
        bool((one - other).abs().max() <= TOLERANCE * one.abs().max()) for one, other in zip(usual, found, strict=True)
    )


def _logits_and_gradient(model: AcceleratedNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
    pixels = images.detach().clone().requires_grad_()
    with model.weights_held_still(), torch.enable_grad():
        logits = model(pixels)
        return logits.detach(), torch.autograd.grad(logits.square().sum(), pixels)[0]


def worthwhile(network: nn.Module, images: Tensor, way: Choices, poolable: Collection[str]) -> Choices:
    """Return the choices with the convolutions that are faster another way, at the shapes they meet.

    Args:
        network: in evaluation mode; left as it was.
        images: as for `with_frozen`.
        way: the precision in which layers compute.
        poolable: names of convolutions that a max-pooling alone follows.
    """
    by_rows, by_groups, pooled = [], [], []
    for name, (layer, features) in _convolutions(network, images, way.precision).items():
        usual = Convolution(layer, None)
        if is_small(layer, features):
            if _gains([usual], [ConvolutionByRows(layer, None)], features):
                by_rows.append(name)
            if name in poolable and can_be_pooled(features, layer):
                joined = PooledConvolutionByRows(layer, None)
                if _gains([usual, MaxPooling(2)], [joined], features):
                    pooled.append(name)
        if can_go_by_groups(layer) and _gains([usual], [ConvolutionByGroups(layer, None)], features):
            by_groups.append(name)
    return replace(way, by_rows=tuple(by_rows), by_groups=tuple(by_groups), pooled=tuple(pooled))


def _convolutions(network: nn.Module, images: Tensor, precision: Precision) -> dict[str, tuple[nn.Conv2d, Tensor]]:
    """Return the convolutions that can go by rows, by name, each with the features that it is given."""
    seen: dict[str, tuple[nn.Conv2d, Tensor]] = {}

    def remember(name: str, layer: nn.Conv2d) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            if given and given[0].ndim == 4:
                seen[name] = layer, given[0].bfloat16() if precision == "bf16" else given[0]

        return layer.register_forward_pre_hook(hook)

    hooks = [remember(name, cast(nn.Conv2d, layer)) for name, layer in network.named_modules() if can_go_by_rows(layer)]
    try:
        with torch.no_grad():
            AcceleratedNetwork(network, Choices(precision=precision))(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _gains(usual: Sequence[Operation], other: Sequence[Operation], features: Tensor) -> bool:
    ways = {"usual": usual, "other": other}
    least = dict.fromkeys(ways, float("inf"))
    with torch.no_grad():
        for _ in range(ROUNDS):
            for name, way in ways.items():
                began = time.perf_counter()
                _there_and_back(way, features)
                least[name] = min(least[name], time.perf_counter() - began)
    return least["other"] < WORTH * least["usual"]


def _there_and_back(operations: Sequence[Operation], features: Tensor) -> None:
    tape: list[Any] = []
    for operation in operations:
        features, saved = operation.forward(features)
        tape.append(saved)
    for operation, saved in zip(reversed(operations), reversed(tape), strict=True):
        features = cast(Tensor, operation.backward(saved, features)[0])
