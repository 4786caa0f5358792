"""Operations without weights that keep every element: activations, pixel normalisation, flattening."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infoplane.acceleration.inner.operation import Operation, in_layout_of


class Activation(Operation):
    """ReLU, or LeakyReLU with a positive slope. The backward pass needs the output alone."""

    overwrites_gradient = True

    def __init__(self, slope: float = 0.0) -> None:
        self.slope = slope

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return the activations."""
        (features,) = inputs
        output = F.leaky_relu(features, self.slope) if self.slope else F.relu(features)
        return output, output

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features."""
        if self.slope:
            torch.ops.aten.leaky_relu_backward.grad_input(gradient, saved, self.slope, True, grad_input=gradient)
        else:
            torch.ops.aten.threshold_backward.grad_input(gradient, saved, 0, grad_input=gradient)
        return (gradient,)


class PixelNormalisation(Operation):
    """A layer that normalises pixels and says by what it divides them.

    Args:
        layer: its `divides_pixels_by` is a tensor, or None.
    """

    gradient_memory = "given"

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return the normalised images."""
        return self.layer(*inputs), None

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ARG002  # nothing is saved
        """Return the gradient to the pixels."""
        divisor: Any = self.layer.divides_pixels_by
        return (gradient if divisor is None else gradient / divisor,)


class Flattening(Operation):
    """All dimensions but the first become one."""

    gradient_memory = "given"

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Any]:
        """Return `(batch, units)`."""
        (features,) = inputs
        return features.flatten(1), features

    def backward(self, saved: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradient to the features, in their layout."""
        return (in_layout_of(saved, gradient.reshape(saved.shape)),)
