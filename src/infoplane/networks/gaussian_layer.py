"""`GaussianLayer`: the noise that a network itself adds to a layer, and which path it takes in evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.checks import check_at_least
from infoplane.networks.wrappers import unwrapped
from infoplane.text import with_field_help


class Repeats(NamedTuple):
    """Number of draws per row, and the number of rows that are drawn for."""

    draws: int
    rows: int


class GaussianLayer(nn.Module):
    """Add Gaussian noise of the network's own: `mean` becomes a draw from N(mean, diag(variance)).

    In training mode every pass draws, from torch's global generators, and gradients reach both the mean and the
    variance. In evaluation mode the layer returns its mean, unless it is inside a `drawing` block. So probes and paired
    comparisons see the mean path, which has no random part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.draws_in_evaluation = False  # changed by `drawing` alone, as is the next
        self.repeats: Repeats | None = None

    def forward(self, mean: Tensor, variance: Tensor) -> Tensor:
        """Return a draw, or the mean, `(batch, features)`; `(draws * batch, features)` where `drawing` repeats rows.

        Args:
            mean: `(batch, features)`.
            variance: of the noise, positive, in squared units of the mean; of a shape that broadcasts to it.
        """
        if not (self.training or self.draws_in_evaluation):
            return mean
        if self.repeats is not None and len(mean) == self.repeats.rows:  # else an earlier layer has repeated the rows
            noise = torch.randn((self.repeats.draws, *mean.shape), dtype=mean.dtype, device=mean.device)
            return (mean + variance.sqrt() * noise).flatten(end_dim=1)
        return mean + variance.sqrt() * torch.randn_like(mean)


def gaussian_layers(model: nn.Module) -> dict[str, GaussianLayer]:
    """Return the Gaussian layers of a network, by name as in `model.named_modules()`; empty if it has none."""
    return {name: module for name, module in unwrapped(model).named_modules() if isinstance(module, GaussianLayer)}


def stochastic_layers(model: nn.Module) -> dict[str, GaussianLayer]:
    """Return the Gaussian layers of a network that must have one, by name.

    Raises:
        ValueError: the model has none.
    """
    if layers := gaussian_layers(model):
        return layers
    raise ValueError(f"{type(unwrapped(model)).__name__} has no GaussianLayer, so it adds no noise of its own")


@contextmanager
def drawing(model: nn.Module, *, draws: int = 1, rows: int | None = None) -> Iterator[None]:
    """Inside the block, Gaussian layers draw in evaluation mode too; after it they are as they were.

    With several draws, the first Gaussian layer of a pass returns all draws of its rows, draw by draw, and the rest of
    the network runs on `draws * rows` rows. So what comes before that layer, which has no random part, runs once.

    Args:
        model: any network.
        draws: draws of each row, at least 1.
        rows: number of images of each pass in the block; only needed with several draws.

    Raises:
        ValueError: several draws of an unknown number of rows.
    """
    check_at_least(draws, 1, name="draws")
    if draws > 1 and rows is None:
        raise ValueError(f"rows must be given, got None with draws = {draws}")
    repeats = None if draws == 1 or rows is None else Repeats(draws, rows)
    layers = gaussian_layers(model).values()
    before = [(layer.draws_in_evaluation, layer.repeats) for layer in layers]
    try:
        for layer in layers:
            layer.draws_in_evaluation, layer.repeats = True, repeats
        yield
    finally:
        for layer, values in zip(layers, before, strict=True):
            layer.draws_in_evaluation, layer.repeats = values


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
    layers = stochastic_layers(model)
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
