"""Layers that compute their input gradient in another way while an attack holds the weights still."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from infoplane.acceleration.row_products import ConvolutionByRows, can_go_by_rows
from infoplane.acceleration.scaling import has_fixed_statistics, scaled_and_shifted


def has_substitute(layer: nn.Module) -> bool:
    """Whether there is another way for this layer."""
    return can_go_by_rows(layer) or has_fixed_statistics(layer)


@contextmanager
def weights_held_still(model: nn.Module) -> Iterator[None]:
    """Weights need no gradient inside the block; only then layers are substituted."""
    moving = [weights for weights in model.parameters() if weights.requires_grad]
    for weights in moving:
        weights.requires_grad_(False)
    try:
        yield
    finally:
        for weights in moving:
            weights.requires_grad_(True)


class Substitutes(TorchFunctionMode):
    """Inside the block, on this thread alone, some layers go the other way; the network itself stays as it is.

    Args:
        layers: each with `has_substitute`.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        # What a layer hands to the function is the one sign by which its call is known.
        self._known = {id(layer.weight if isinstance(layer, nn.Conv2d) else layer.running_mean) for layer in layers}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.conv2d and id(args[1]) in self._known:
            return _convolution(*args, **kwargs)
        if func is F.batch_norm and id(args[1]) in self._known:
            return _batch_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _convolution(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    *rest: Any,
) -> Any:
    if weight.requires_grad:
        return F.conv2d(features, weight, bias, stride, padding, *rest)
    return ConvolutionByRows.apply(features, weight, bias, stride, padding)  # type: ignore[no-untyped-call]


def _batch_norm(
    features: Tensor,
    mean: Tensor,
    variance: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> Any:
    if training or (weight is not None and weight.requires_grad):
        return F.batch_norm(features, mean, variance, weight, bias, training, momentum, eps)
    return scaled_and_shifted(features, mean, variance, weight, bias, eps)
