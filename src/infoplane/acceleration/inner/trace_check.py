"""Check that the traced program of a network gives the logits and gradients of the network."""

import copy

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import PLAIN, Choices
from infoplane.acceleration.network import AcceleratedNetwork

TOLERANCE = 1e-6  # of the largest value


def traces_correctly(network: nn.Module, images: Tensor) -> bool:
    """Return whether the network can be traced, and the program agrees with it on these images.

    Args:
        network: in evaluation mode; left as it was.
        images: `(batch, channels, height, width)`; a few are enough.
    """
    try:
        # double precision: sums in another order then switch no ReLU on or off
        exact = copy.deepcopy(network).double()
        plain, traced = (
            _logits_and_gradient(AcceleratedNetwork(exact, way), images.double())
            for way in (PLAIN, Choices(traced=True))
        )
    except Exception:  # noqa: BLE001  # a wrongly traced network can fail in any way
        return False
    return all(
        bool((one - other).abs().max() <= TOLERANCE * one.abs().max()) for one, other in zip(plain, traced, strict=True)
    )


def _logits_and_gradient(model: AcceleratedNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
    pixels = images.detach().clone().requires_grad_()
    with model.frozen_weights(), torch.enable_grad():
        logits = model(pixels)
        return logits.detach(), torch.autograd.grad(logits.square().sum(), pixels)[0]
