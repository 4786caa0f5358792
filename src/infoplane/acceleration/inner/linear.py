"""Linear layer with fixed weights."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration.inner.operation import Operation


class Linear(Operation):
    """A linear layer.

    Args:
        layer: gives the weights.
        dtype: it computes in this type; None for the type of its input.
    """

    def __init__(self, layer: nn.Linear, dtype: torch.dtype | None) -> None:
        self.layer, self.dtype = layer, dtype
        self._cache: dict[torch.dtype, tuple[Tensor, Tensor | None]] = {}

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return `(..., features_out)`."""
        (features,) = inputs
        dtype = self.dtype or features.dtype
        return F.linear(features.to(dtype), *self._weights(dtype)), (dtype, features.dtype)

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        dtype, input_dtype = saved
        return ((gradient @ self._weights(dtype)[0]).to(input_dtype),)

    def _weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        if dtype not in self._cache:
            weight, bias = self.layer.weight, self.layer.bias
            self._cache[dtype] = weight.to(dtype), None if bias is None else bias.to(dtype)
        return self._cache[dtype]

    def clear_cache(self) -> None:
        """Forget the converted weights."""
        self._cache.clear()
