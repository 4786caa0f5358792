"""Spec of VIB."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane import training
from infoplane.errors import UserError
from infoplane.training.spec import MethodSettings, MethodSpec, Passes

if TYPE_CHECKING:
    from torch import Tensor, nn


class VIBSettings(MethodSettings):
    """Settings of VIB."""

    vib_beta: float = Field(1e-3, ge=0)
    """Weight of the rate of the code in VIB."""


def _check_network(model: "nn.Module", _images: "Tensor") -> None:
    """Raise UserError unless the network adds noise."""
    from infoplane.networks.gaussian_layer import gaussian_layers

    if not gaussian_layers(model):
        raise UserError("--methods: vib trains a network with noise of its own (a GaussianLayer); add --model mlp-vib")


VIB = MethodSpec(
    name="vib",
    description="cross-entropy plus the rate of a stochastic code (Alemi et al. 2017)",
    settings=VIBSettings,
    build=lambda parts: training.vib_training(parts.settings.vib_beta),
    passes=lambda _parts: Passes(1),
    attacks=False,
    check_network=_check_network,
)
