"""How a network computes in training."""

from dataclasses import dataclass
from typing import Literal

import torch


@dataclass(frozen=True, kw_only=True)
class Choices:
    """How a network computes in training.

    Attributes:
        precision: "32", or "bf16" for autocast to bfloat16 inside the network alone.
        frozen: an attack's passes go operation by operation, without autograd (`FrozenNetwork`).
        by_rows: names of convolutions whose input gradient goes by rows meanwhile.
        by_groups: likewise, several pixels at a time.
        pooled: names of convolutions that go by rows meanwhile together with the max-pooling after them.
        graphs: replay an attack's passes as CUDA graphs.
    """

    precision: Literal["32", "bf16"] = "32"
    frozen: bool = False
    by_rows: tuple[str, ...] = ()
    by_groups: tuple[str, ...] = ()
    pooled: tuple[str, ...] = ()
    graphs: bool = False

    @property
    def low(self) -> torch.dtype | None:
        """In which convolutions and linear layers compute; None for the precision of what they are given."""
        return torch.bfloat16 if self.precision == "bf16" else None


PLAIN = Choices()
