"""Spec of HBaR, regularisation by an HSIC bottleneck."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane import training
from infoplane.errors import UserError
from infoplane.training.spec import MethodSettings, MethodSpec, Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

# What the bottleneck adds, in passes of the network: measured for LeNet-5 and batches of 128 (4 passes at 256). Its
# time depends on batch size and number of layers, so it is fewer passes of a larger network.
BOTTLENECK = 2.0


class HBaRSettings(MethodSettings):
    """Settings of HBaR without attacks."""

    hbar_x: float = Field(1.0, gt=0)
    """Weight in hbar of the dependence of hidden layers on the image; the paper's value on MNIST."""
    hbar_y: float = Field(50.0, gt=0)
    """Weight in hbar of the dependence of hidden layers on the label; the paper's value on MNIST."""


def check_hidden_layers(model: "nn.Module", images: "Tensor") -> None:
    """Raise UserError unless the network has a hidden layer for the bottleneck."""
    import torch

    from infoplane.networks.evaluation_mode import evaluation_mode
    from infoplane.training.hbar import pass_with_hidden

    try:
        with torch.no_grad(), evaluation_mode(model):
            pass_with_hidden(model, images)
    except ValueError as error:
        raise UserError(f"--methods: {error}; choose another --model") from error


HBAR = MethodSpec(
    name="hbar",
    description="cross-entropy plus an HSIC bottleneck of the hidden layers (Wang et al. 2021)",
    settings=HBaRSettings,
    build=lambda parts: training.hbar_training(input_weight=parts.settings.hbar_x, label_weight=parts.settings.hbar_y),
    passes=lambda _parts: Passes(1 + BOTTLENECK, loss=1 + BOTTLENECK),
    attacks=False,
    check_network=check_hidden_layers,
)
