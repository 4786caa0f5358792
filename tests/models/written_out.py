"""Layers by hand, from the weights of a network and in evaluation mode."""

import torch.nn.functional as F
from torch import Tensor, nn


class ByHand:
    """The layers of a network by name, as formulas."""

    def __init__(self, model: nn.Module) -> None:
        self.weights = model.state_dict()

    def norm(self, x: Tensor, name: str) -> Tensor:
        mean, var, scale, shift = (
            self.weights[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return scale * (x - mean) / (var + 1e-5).sqrt() + shift

    def conv(self, x: Tensor, name: str, stride: int = 1, padding: int = 1) -> Tensor:
        return F.conv2d(
            x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), stride=stride, padding=padding
        )

    def linear(self, x: Tensor, name: str) -> Tensor:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]


def relu(x: Tensor) -> Tensor:
    return x * (x > 0)
