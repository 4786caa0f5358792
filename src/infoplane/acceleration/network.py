"""A network as it computes in training: its own weights, in lower precision where that was chosen."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from infoplane.acceleration.substitutes import Substitutes


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a network computes in training.

    Attributes:
        precision: "32", or "bf16" for autocast to bfloat16 inside the network alone.
        workers: threads that share the images of a batch while it is attacked.
        substitutes: names of layers that compute their input gradient in another way while an attack holds the
            weights still.
    """

    precision: Literal["32", "bf16"] = "32"
    workers: int = 1
    substitutes: tuple[str, ...] = ()


PLAIN = Choices()


class AcceleratedNetwork(nn.Module):
    """Computes what `network` does, with its weights and in its mode; logits are float32.

    Args:
        network: any module from images to logits.
        choices: how.

    Raises:
        AttributeError: `choices` substitutes a layer that the network does not have.
    """

    def __init__(self, network: nn.Module, choices: Choices) -> None:
        super().__init__()
        self.network = network
        self.choices = choices
        self._substituted = [network.get_submodule(name) for name in choices.substitutes]
        self.train(network.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, float32."""
        low = torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.choices.precision == "bf16")
        with low, Substitutes(self._substituted) if self._substituted else nullcontext():
            logits: Tensor = self.network(images)
        return logits.to(images.dtype)
