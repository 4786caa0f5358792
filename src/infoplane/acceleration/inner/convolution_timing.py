"""Choose the convolutions of a network that are computed row by row: by a timing, or by their sizes."""

import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import Choices
from infoplane.acceleration.inner.convolution import Convolution
from infoplane.acceleration.inner.max_pooling import MaxPooling
from infoplane.acceleration.inner.operation import Operation
from infoplane.acceleration.inner.rowwise_convolution import RowwiseConvolution, can_be_rowwise, is_small
from infoplane.acceleration.inner.rowwise_pooling import RowwisePooledConvolution, can_be_pooled
from infoplane.acceleration.network import AcceleratedNetwork

ROUNDS = 5
CLEARLY_FASTER = 0.9  # of the usual time
MOST_CHANNELS = 16  # of a convolution that is computed row by row with its pooling without a timing


def with_faster_convolutions(
    choices: Choices, network: nn.Module, images: Tensor, poolable: Collection[str]
) -> Choices:
    """Return the choices with the convolutions that are faster row by row, alone or with their pooling.

    Args:
        choices: give the precision.
        network: in evaluation mode; left as it was.
        images: as for `candidates`.
        poolable: names of convolutions whose output only a max-pooling in 2x2 reads.
    """
    rowwise, pooled = [], []
    for name, (layer, features) in _inputs_of_convolutions(network, images, choices).items():
        if not is_small(layer, features):
            continue
        usual = Convolution(layer, None)
        if _is_faster([RowwiseConvolution(layer, None)], [usual], features):
            rowwise.append(name)
        if name in poolable and can_be_pooled(features, layer):
            joined = RowwisePooledConvolution(layer, None)
            if _is_faster([joined], [usual, MaxPooling(2)], features):
                pooled.append(name)
    return replace(choices, rowwise=tuple(rowwise), rowwise_pooled=tuple(pooled))


def with_small_convolutions(choices: Choices, network: nn.Module, images: Tensor, poolable: Collection[str]) -> Choices:
    """Return the choices with the convolutions that are faster row by row, judged by their sizes instead of a timing.

    Arguments are those of `with_faster_convolutions`. The rule follows from timings of LeNet-5 and WideResNet-10-1 with
    AVX-512. Processors with AVX2 take 1.6 to 1.8 times as long row by row.
    """
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        return choices
    rowwise, pooled = [], []
    for name, (layer, features) in _inputs_of_convolutions(network, images, choices).items():
        if not is_small(layer, features):
            continue
        if name in poolable and can_be_pooled(features, layer) and layer.out_channels <= MOST_CHANNELS:
            pooled.append(name)
        elif layer.in_channels == 1:
            rowwise.append(name)
    return replace(choices, rowwise=tuple(rowwise), rowwise_pooled=tuple(pooled))


def _inputs_of_convolutions(
    network: nn.Module, images: Tensor, choices: Choices
) -> dict[str, tuple[nn.Conv2d, Tensor]]:
    """Return the convolutions that can be computed row by row, by name, each with its input for these images."""
    seen: dict[str, tuple[nn.Conv2d, Tensor]] = {}

    def remember(name: str, layer: nn.Conv2d) -> torch.utils.hooks.RemovableHandle:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if inputs and inputs[0].ndim == 4:
                seen[name] = layer, inputs[0].to(choices.autocast_dtype or inputs[0].dtype)

        return layer.register_forward_pre_hook(hook)

    hooks = [remember(name, layer) for name, layer in network.named_modules() if can_be_rowwise(layer)]
    try:
        with torch.no_grad():
            AcceleratedNetwork(network, Choices(precision=choices.precision))(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _is_faster(operations: Sequence[Operation], usual: Sequence[Operation], features: Tensor) -> bool:
    ways = {"usual": usual, "other": operations}
    least = dict.fromkeys(ways, float("inf"))
    with torch.no_grad():
        for _ in range(ROUNDS):
            for name, way in ways.items():
                began = time.perf_counter()
                _forward_and_backward(way, features)
                least[name] = min(least[name], time.perf_counter() - began)
    return least["other"] < CLEARLY_FASTER * least["usual"]


def _forward_and_backward(operations: Sequence[Operation], features: Tensor) -> None:
    tape: list[Any] = []
    for operation in operations:
        features, saved = operation.forward(features)
        tape.append(saved)
    for operation, saved in zip(reversed(operations), reversed(tape), strict=True):
        features = cast(Tensor, operation.backward(saved, features)[0])
