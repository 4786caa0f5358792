"""A network that computes in a chosen way, with the weights of the original network."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import PLAIN, Choices

if TYPE_CHECKING:
    from infoplane.acceleration.inner.cuda_graphs import GraphedPasses
    from infoplane.acceleration.inner.traced_network import TracedNetwork


def wrap(network: nn.Module, choices: Choices) -> nn.Module:
    """Return a network that computes as chosen, with the weights of `network`.

    Args:
        network: any module from images to logits; its layers stay as they are.
        choices: how it computes.

    Returns:
        An `AcceleratedNetwork`, or `network` itself where `choices` are `PLAIN`.

    Raises:
        ValueError: `choices` ask for a traced program, and `network` cannot be traced.
        AttributeError: `choices` name a layer that the network does not have.
    """
    return network if choices == PLAIN else AcceleratedNetwork(network, choices)


class AcceleratedNetwork(nn.Module):
    """Compute what `network` computes, with its weights and in its mode; logits are float32.

    Arguments and errors are those of `wrap`.
    """

    def __init__(self, network: nn.Module, choices: Choices) -> None:
        super().__init__()
        self.network = network
        self.choices = choices
        self._traced = _traced(network, choices) if choices.traced else None
        self._graphs = self._graphed() if choices.cuda_graphs else None
        self._run_traced = False
        self.training = network.training

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, float32."""
        if self._graphs is not None and self._graphs.can_replay(images):
            return self._graphs(images)
        if self._traced is not None and self._run_traced and images.requires_grad and torch.is_grad_enabled():
            return self._traced(images).to(images.dtype)
        return self._with_autograd(images)

    @contextmanager
    def frozen_weights(self) -> Iterator[None]:
        """Inside the block weights need no gradient, and the network runs as a traced program if that was chosen.

        The traced program is not used where batch statistics move, dropout draws, or hooks listen, nor where an
        attribute has changed that may change the network's `forward`.
        """
        frozen = [weights for weights in self.network.parameters() if weights.requires_grad]
        for weights in frozen:
            weights.requires_grad_(False)
        self._run_traced = (
            self._traced is not None
            and self._traced.is_up_to_date()
            and not any(map(_is_training_or_hooked, self.network.modules()))
        )
        try:
            yield
        finally:
            self._run_traced = False
            if self._traced is not None:
                self._traced.clear_cache()
            for weights in frozen:
                weights.requires_grad_(True)

    def _with_autograd(self, images: Tensor) -> Tensor:
        dtype = self.choices.autocast_dtype
        with torch.autocast(images.device.type, dtype=dtype, enabled=dtype is not None):
            logits: Tensor = self.network(images)
        return logits.to(images.dtype)

    def _graphed(self) -> "GraphedPasses":
        from infoplane.acceleration.inner.cuda_graphs import GraphedPasses

        return GraphedPasses(self.network, self._with_autograd)


def _traced(network: nn.Module, choices: Choices) -> "TracedNetwork":
    from infoplane.acceleration.inner.traced_network import TracedNetwork

    return TracedNetwork(network, choices)


def _is_training_or_hooked(module: nn.Module) -> bool:
    hooked = module._forward_hooks or module._forward_pre_hooks
    return bool(module.training or hooked or module._backward_hooks or module._backward_pre_hooks)
