"""`GaussianLayer`: the noise that a network itself adds to a layer, and which path it takes in evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.networks.wrappers import unwrapped
from infoplane.text import with_field_help


class GaussianLayer(nn.Module):
    """Add Gaussian noise of the network's own: `mean` becomes a draw from N(mean, diag(variance)).

    In training mode every pass draws, from torch's global generators, and gradients reach both the mean and the
    variance. In evaluation mode the layer returns its mean, unless it is inside a `drawing` block. So probes and paired
    comparisons see the mean path, which has no random part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.draws_in_evaluation = False  # changed by `drawing` alone

    def forward(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return a draw, or the mean, `(batch, features)`.

        Args:
            mean: `(batch, features)`.
            variance: of the noise, positive, in squared units of the mean; of a shape that broadcasts to it.
        """
        if not (self.training or self.draws_in_evaluation):
            return mean
        return mean + variance.sqrt() * torch.randn_like(mean)


def gaussian_layers(model: nn.Module) -> dict[str, GaussianLayer]:
    """Return the Gaussian layers of a network, by name as in `model.named_modules()`; empty if it has none."""
    return {name: module for name, module in unwrapped(model).named_modules() if isinstance(module, GaussianLayer)}


@contextmanager
def drawing(model: nn.Module) -> Iterator[None]:
    """Inside the block, Gaussian layers draw in evaluation mode too; after it they are as they were."""
    layers = gaussian_layers(model).values()
    before = [layer.draws_in_evaluation for layer in layers]
    try:
        for layer in layers:
            layer.draws_in_evaluation = True
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.draws_in_evaluation = value


@with_field_help
class Code(NamedTuple):
    """What a Gaussian layer did in the last forward pass.

    Attributes:
        mean: `(batch, features)`, with its gradient.
        variance: of the noise, as the layer was given it.
        drawn: `(batch, features)`, the output.
    """

    mean: Tensor
    variance: Tensor
    drawn: Tensor


@contextmanager
def recorded_codes(model: nn.Module) -> Iterator[dict[str, Code]]:
    """Record mean, variance and output of every Gaussian layer, with gradients; each forward pass replaces the last.

    Raises:
        ValueError: the model has no Gaussian layer.
    """
    layers = gaussian_layers(model)
    if not layers:
        raise ValueError(f"{type(unwrapped(model)).__name__} has no GaussianLayer, so it adds no noise of its own")
    codes: dict[str, Code] = {}
    hooks = []
    try:
        for name, layer in layers.items():

            def record(_layer: nn.Module, args: tuple[Tensor, Tensor], output: Tensor, name: str = name) -> None:
                codes[name] = Code(*args, output)

            hooks.append(layer.register_forward_hook(record))
        yield codes
    finally:
        for hook in hooks:
            hook.remove()
