"""The record of how a network computes in training. Imports no torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a network computes in training.

    Attributes:
        precision: "32" for float32, or "bf16" for autocast to bfloat16 inside the network.
        traced: an attack runs the network as a traced program without autograd.
        rowwise: names of convolutions whose input gradient is computed row by row in a traced program.
        rowwise_pooled: names of convolutions that a traced program computes row by row together with the max-pooling
            after them.
        cuda_graphs: an attack replays its passes as CUDA graphs. Experimental: not yet run on a GPU.
    """

    precision: Literal["32", "bf16"] = "32"
    traced: bool = False
    rowwise: tuple[str, ...] = ()
    rowwise_pooled: tuple[str, ...] = ()
    cuda_graphs: bool = False

    @property
    def autocast_dtype(self) -> "torch.dtype | None":
        """Type in which convolutions and linear layers compute; None for the type of their input."""
        import torch

        return torch.bfloat16 if self.precision == "bf16" else None


PLAIN = Choices()  # as torch computes without acceleration
