"""A network as it computes in training: its own weights, in lower precision where that was chosen."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a network computes in training.

    Attributes:
        precision: "32", or "bf16" for autocast to bfloat16 inside the network alone.
        workers: threads that share the images of a batch while it is attacked.
    """

    precision: Literal["32", "bf16"] = "32"
    workers: int = 1


PLAIN = Choices()


class AcceleratedNetwork(nn.Module):
    """Computes what `network` does, with its weights and in its mode; logits are float32.

    Args:
        network: any module from images to logits.
        choices: how.
    """

    def __init__(self, network: nn.Module, choices: Choices) -> None:
        super().__init__()
        self.network = network
        self.choices = choices
        self.train(network.training)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, `(batch, classes)`, float32."""
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.choices.precision == "bf16"):
            logits: Tensor = self.network(images)
        return logits.to(images.dtype)
