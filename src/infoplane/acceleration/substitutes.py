"""Layers that compute another way while an attack holds the weights still: convolutions by rows, BatchNorm folded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from infoplane.acceleration.folding import folded
from infoplane.acceleration.pooled_rows import PooledConvolutionByRows, can_be_pooled, pools_in_two
from infoplane.acceleration.row_products import ConvolutionByRows


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
        by_rows: convolutions whose input gradient goes by rows, each with `can_go_by_rows`.
        norms: by convolution the BatchNorm that alone sees what it gives (`foldable_pairs`).
        pooled: convolutions that go by rows with the max-pooling that alone sees what they give
            (`poolable_convolutions`).
    """

    def __init__(
        self,
        by_rows: Sequence[nn.Conv2d] = (),
        norms: Mapping[nn.Conv2d, nn.BatchNorm2d] | None = None,
        pooled: Sequence[nn.Conv2d] = (),
    ) -> None:
        super().__init__()
        # What a layer hands to the function is the one sign by which its call is known.
        self._by_rows = {id(layer.weight) for layer in by_rows}
        self._norms = {id(layer.weight): norm for layer, norm in (norms or {}).items()}
        self._pooled = {id(layer.weight) for layer in pooled}
        self._known = {*self._by_rows, *self._norms, *self._pooled}
        self._maxima: dict[int, Tensor] = {}  # outputs that are pooled already
        self._ahead: dict[int, Tensor] = {}  # outputs that are normalised already, by what their BatchNorm hands over

    @property
    def astray(self) -> bool:
        """Whether a BatchNorm or a pooling that was done ahead did not come: the network went another way than seen."""
        return bool(self._ahead or self._maxima)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.conv2d and id(args[1]) in self._known:
            return self._convolution(*args, **kwargs)
        if func is F.batch_norm and self._ahead.get(id(args[1])) is args[0]:
            return self._ahead.pop(id(args[1]))
        if func is F.max_pool2d and self._maxima.get(id(args[0])) is args[0] and pools_in_two(*args[1:], **kwargs):
            return self._maxima.pop(id(args[0]))
        return func(*args, **kwargs)

    def _convolution(
        self,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        *rest: Any,
    ) -> Any:
        if weight.requires_grad:
            return F.conv2d(features, weight, bias, stride, padding, *rest)
        if id(weight) in self._pooled and can_be_pooled(features, weight, stride, padding):
            maxima = PooledConvolutionByRows.apply(features, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
            self._maxima[id(maxima)] = maxima
            return maxima
        norm, by_rows = self._norms.get(id(weight)), id(weight) in self._by_rows
        fixed = norm is not None and not norm.training
        if norm is not None and fixed:
            weight, bias = folded(weight, bias, norm)
        if by_rows:
            output = ConvolutionByRows.apply(features, weight, bias, stride, padding)  # type: ignore[no-untyped-call]
        else:
            output = F.conv2d(features, weight, bias, stride, padding, *rest)
        if norm is not None and fixed:
            self._ahead[id(norm.running_mean)] = output
        return output
