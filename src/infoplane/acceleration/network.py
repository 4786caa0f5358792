"""A network as it computes in training: its own weights, in lower precision where that was chosen."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from infoplane.acceleration.graphs import GraphedPasses
from infoplane.acceleration.substitutes import Substitutes


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a network computes in training.

    Attributes:
        precision: "32", or "bf16" for autocast to bfloat16 inside the network alone.
        by_rows: names of convolutions whose input gradient goes by rows while an attack holds the weights still.
        folded: names of convolutions and of the BatchNorms that are folded into them meanwhile.
        pooled: names of convolutions that go by rows meanwhile together with the max-pooling after them.
        graphs: replay an attack's passes as CUDA graphs.
    """

    precision: Literal["32", "bf16"] = "32"
    by_rows: tuple[str, ...] = ()
    folded: tuple[tuple[str, str], ...] = ()
    pooled: tuple[str, ...] = ()
    graphs: bool = False


PLAIN = Choices()


class AcceleratedNetwork(nn.Module):
    """Computes what `network` does, with its weights and in its mode; logits are float32.

    Args:
        network: any module from images to logits.
        choices: how.

    Raises:
        AttributeError: `choices` names a layer that the network does not have.
    """

    def __init__(self, network: nn.Module, choices: Choices) -> None:
        super().__init__()
        self.network = network
        self.choices = choices
        layer = network.get_submodule
        self._by_rows: Any = [layer(name) for name in choices.by_rows]
        self._pooled: Any = [layer(name) for name in choices.pooled]
        self._norms: Any = {layer(convolution): layer(norm) for convolution, norm in choices.folded}
        self._graphs = GraphedPasses(network, self._computed) if choices.graphs else None
        self.train(network.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, float32."""
        if self._graphs is not None and self._graphs.can_replay(images):
            return self._graphs(images)
        return self._computed(images)

    def _computed(self, images: Tensor) -> Tensor:
        low = torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.choices.precision == "bf16")
        with low:
            logits = self._passed(images)
        return logits.to(images.dtype)

    def _passed(self, images: Tensor) -> Tensor:
        logits: Tensor
        if self._by_rows or self._norms or self._pooled:
            layers = Substitutes(self._by_rows, self._norms, self._pooled)
            try:
                with layers:
                    logits = self.network(images)
            except RuntimeError:  # a map that is pooled already fits no other layer
                if not layers.astray:
                    raise
            if not layers.astray:
                return logits
        logits = self.network(images)
        return logits
