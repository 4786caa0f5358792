"""Spec of NIB, the nonlinear information bottleneck."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane import training
from infoplane.errors import UserError
from infoplane.training.spec import MethodSettings, MethodSpec, Passes

if TYPE_CHECKING:
    from torch import Tensor, nn


class NIBSettings(MethodSettings):
    """Settings of NIB."""

    nib_beta: float = Field(0.05, gt=0)
    """Weight of I(X;T)^2 in NIB, in nats. Above 0.2 the optimum has less information than ten classes."""


def _check_network(model: "nn.Module", images: "Tensor") -> None:
    """Raise UserError unless the network adds noise of one variance."""
    import torch

    from infoplane.networks.evaluation_mode import evaluation_mode
    from infoplane.networks.gaussian_layer import gaussian_layers, recorded_codes

    advice = "add --model mlp-nib"
    if not gaussian_layers(model):
        raise UserError(f"--methods: nib trains a network with noise of its own (a GaussianLayer); {advice}")
    with torch.no_grad(), evaluation_mode(model), recorded_codes(model) as codes:
        model(images)
    if any(code.variance.numel() != 1 for code in codes.values()):
        raise UserError(f"--methods: nib needs noise of one variance, and this network's differs by unit; {advice}")


NIB = MethodSpec(
    name="nib",
    description="cross-entropy plus the squared information of a noisy layer (Kolchinsky et al. 2019)",
    settings=NIBSettings,
    build=lambda parts: training.nib_training(beta=parts.settings.nib_beta),
    passes=lambda _parts: Passes(1),
    attacks=False,
    check_network=_check_network,
)
