"""Base class of the operations in a traced program."""

from typing import Any, Literal

import torch
from torch import Tensor


class Operation:
    """One operation of a traced program. Its backward pass gives gradients to its inputs, and none to weights.

    Attributes:
        gradient_memory: where returned gradients lie: in "new" memory, in that of the gradient that was "given", or in
            memory that is "shared" with other tensors.
        overwrites_gradient: `backward` writes over the gradient that it is given.
    """

    gradient_memory: Literal["new", "given", "shared"] = "new"
    overwrites_gradient = False

    def forward(self, *inputs: Any) -> tuple[Any, Any]:
        """Return the output, and what `backward` needs."""
        raise NotImplementedError

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to each input.

        Args:
            saved: what `forward` returned second.
            gradient: of the output.
        """
        raise NotImplementedError

    def clear_cache(self) -> None:
        """Forget tensors that were computed from the weights, before the weights change."""


def in_layout_of(features: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradient as channels_last where `features` are."""
    if features.ndim == 4 and features.is_contiguous(memory_format=torch.channels_last):
        return gradient.contiguous(memory_format=torch.channels_last)
    return gradient
