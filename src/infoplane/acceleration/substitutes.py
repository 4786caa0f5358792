"""Operations that go another way: max-pooling by rows, and while an attack holds the weights still convolutions too."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from infoplane.acceleration.folding import folded
from infoplane.acceleration.pooling import PooledByRows, can_pool_by_rows
from infoplane.acceleration.row_products import ConvolutionByRows


@contextmanager
def weights_held_still(model: nn.Module) -> Iterator[None]:
    """Weights need no gradient inside the block; only then convolutions are substituted."""
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
        pools: max-pooling goes by rows where it can (`can_pool_by_rows`).
    """

    def __init__(
        self,
        by_rows: Sequence[nn.Conv2d] = (),
        norms: Mapping[nn.Conv2d, nn.BatchNorm2d] | None = None,
        pools: bool = False,
    ) -> None:
        super().__init__()
        self._pools = pools
        self.pooled = 0  # times that max-pooling went by rows
        # What a layer hands to the function is the one sign by which its call is known.
        self._by_rows = {id(layer.weight) for layer in by_rows}
        self._norms = {id(layer.weight): norm for layer, norm in (norms or {}).items()}
        self._ahead: dict[int, Tensor] = {}  # outputs that are normalised already, by what their BatchNorm hands over

    @property
    def astray(self) -> bool:
        """Whether a BatchNorm that was folded did not come: then the network went another way than was seen."""
        return bool(self._ahead)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.conv2d and (id(args[1]) in self._norms or id(args[1]) in self._by_rows):
            return self._convolution(*args, **kwargs)
        if func is F.batch_norm and self._ahead.get(id(args[1])) is args[0]:
            return self._ahead.pop(id(args[1]))
        if func is F.max_pool2d and self._pools:
            return self._pooling(*args, **kwargs)
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

    def _pooling(
        self,
        input: Tensor,  # may be given by name
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Any:
        others = (padding, dilation, ceil_mode, return_indices)
        if can_pool_by_rows(input, kernel_size, stride, others=others):
            self.pooled += 1
            return PooledByRows.apply(input)  # type: ignore[no-untyped-call]
        return F.max_pool2d(input, kernel_size, stride, *others)  # type: ignore[call-overload]
