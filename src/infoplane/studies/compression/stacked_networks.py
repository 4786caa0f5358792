"""Perceptrons of several seeds that compute side by side, with or without quantised activations."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from infoplane.models.mlp import ACTIVATIONS, MLP

RANGE_MEMORY = 0.99  # of the running range of a layer, per training step


class LayerOutputs(NamedTuple):
    """Outputs of one hidden layer of all networks, each `(networks, images, units)`."""

    before: Tensor  # after the activation, before it is quantised
    after: Tensor  # what the next layer gets; equal to `before` without quantisation


class StackedNetworks(nn.Module):
    """Networks of one architecture with one weight matrix per layer for all, `(networks, inputs, units)`.

    Each network computes what its `MLP` computes, apart from rounding, which differs with the number of networks.
    Training amplifies it, most in quantised networks, where a value near the border of two levels takes another one:
    I(X;T) then differs by some 0.1 bits after 150 epochs. So numbers are compared between stacks of one size alone.
    Networks of 300 weights spend nearly all their time on calling operations, so that five of them side by side take
    the time of one.

    With `bits`, the outputs of every hidden layer are rounded to the nearest of 2**bits values that are evenly spaced
    over the range of that layer, [least, largest] output. In training, the range is a running mean over the batches,
    and gradients pass the rounding unchanged where the output lies in the range (straight-through).

    Args:
        networks: at least one, of the same sizes and activation; their weights are copied.
        activation: "relu" or "tanh", the one of the networks.
        bits: of an activation; None leaves them as they are.

    Source: quantised activations as in Lorenzen, Igel & Nielsen (ICLR 2022), arXiv:2106.12912; the range and the
    gradient as in Jacob et al. (2018), arXiv:1712.05877, Section 3.
    """

    low: Tensor  # (layers, networks, 1, 1)
    high: Tensor

    def __init__(self, networks: Sequence[MLP], activation: str, *, bits: int | None = None) -> None:
        super().__init__()
        self._activation = ACTIVATIONS[activation]()
        self._bits = bits
        linears = [[module for module in one.modules() if isinstance(module, nn.Linear)] for one in networks]
        layers = list(zip(*linears, strict=True))
        self.weights = nn.ParameterList(torch.stack([one.weight.detach().T for one in layer]) for layer in layers)
        self.biases = nn.ParameterList(torch.stack([one.bias.detach()[None] for one in layer]) for layer in layers)
        ranges = torch.full((len(layers) - 1, len(networks), 1, 1), torch.nan)  # unknown until images were seen
        self.register_buffer("low", ranges)
        self.register_buffer("high", ranges.clone())

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[LayerOutputs]]:
        """Return the logits, `(networks, images, classes)`, and the outputs of the hidden layers.

        Args:
            inputs: `(networks, images, pixels)`, normalised.
        """
        outputs, signal = [], inputs
        for layer, (weight, bias) in enumerate(zip(self.weights[:-1], self.biases[:-1], strict=True)):
            before: Tensor = self._activation(torch.baddbmm(bias, signal, weight))
            signal = before if self._bits is None else self._quantised(layer, before)
            outputs.append(LayerOutputs(before, signal))
        return torch.baddbmm(self.biases[-1], signal, self.weights[-1]), outputs

    def _quantised(self, layer: int, outputs: Tensor) -> Tensor:
        assert self._bits is not None
        if self.training or self.low[layer].isnan().any():
            low, high = outputs.detach().aminmax(dim=1, keepdim=True)
            low, high = low.amin(dim=2, keepdim=True), high.amax(dim=2, keepdim=True)
            unknown = self.low[layer].isnan()
            self.low[layer] = torch.where(unknown, low, self.low[layer].lerp(low, 1 - RANGE_MEMORY))
            self.high[layer] = torch.where(unknown, high, self.high[layer].lerp(high, 1 - RANGE_MEMORY))
        # clones: the next layer changes the buffers in place, and the gradient needs these values
        return quantised(outputs, self.low[layer].clone(), self.high[layer].clone(), self._bits)


def quantised(outputs: Tensor, low: Tensor, high: Tensor, bits: int) -> Tensor:
    """Round to the nearest of 2**bits values evenly spaced over [low, high]; outputs outside become its ends.

    The gradient is that of clipping alone. Where `low` equals `high`, all outputs become `low`.
    """
    inside = outputs.clamp(low, high)
    step = (high - low) / (2**bits - 1)
    with torch.no_grad():
        rounded = low + step * ((inside - low) / step.clamp(min=torch.finfo(step.dtype).tiny)).round()
    # the value of `rounded`, exactly: inside - inside is 0 in floating point, and 0 + rounded is rounded
    result: Tensor = rounded + (inside - inside.detach())
    return result
