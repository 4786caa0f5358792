"""A network as it computes in training: its own weights, in lower precision where that was chosen."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from infoplane.acceleration.choices import Choices
from infoplane.acceleration.frozen import FrozenNetwork
from infoplane.acceleration.graphs import GraphedPasses


class AcceleratedNetwork(nn.Module):
    """Computes what `network` does, with its weights and in its mode; logits are float32.

    Args:
        network: any module from images to logits.
        choices: how.

    Raises:
        UnreadableError: an attack's passes are to go operation by operation, and `network` cannot be read so.
        AttributeError: `choices` names a layer that the network does not have.
    """

    def __init__(self, network: nn.Module, choices: Choices) -> None:
        super().__init__()
        self.network = network
        self.choices = choices
        self._frozen = FrozenNetwork(network, choices) if choices.frozen else None
        self._graphs = GraphedPasses(network, self._computed) if choices.graphs else None
        self._held_still = False
        self.training = network.training

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, float32."""
        if self._graphs is not None and self._graphs.can_replay(images):
            return self._graphs(images)
        if self._frozen is not None and self._held_still and images.requires_grad and torch.is_grad_enabled():
            return self._frozen(images).to(images.dtype)
        return self._computed(images)

    @contextmanager
    def weights_held_still(self) -> Iterator[None]:
        """Weights need no gradient inside the block, and only there layers compute another way.

        They do not where statistics move or dropout draws, where somebody listens to layers, nor where the network
        goes another way than it was read.
        """
        moving = [weights for weights in self.network.parameters() if weights.requires_grad]
        for weights in moving:
            weights.requires_grad_(False)
        self._held_still = (
            self._frozen is not None and self._frozen.is_as_read() and not any(map(_is_busy, self.network.modules()))
        )
        try:
            yield
        finally:
            self._held_still = False
            if self._frozen is not None:
                self._frozen.let_go()
            for weights in moving:
                weights.requires_grad_(True)

    def _computed(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, dtype=self.choices.low, enabled=self.choices.low is not None):
            logits: Tensor = self.network(images)
        return logits.to(images.dtype)


def _is_busy(module: nn.Module) -> bool:
    heard = module._forward_hooks or module._forward_pre_hooks
    return bool(module.training or heard or module._backward_hooks or module._backward_pre_hooks)
