"""Spec of CEB."""

from typing import TYPE_CHECKING

from infoplane import training
from infoplane.errors import UserError
from infoplane.training.spec import MethodSettings, MethodSpec, Parts, Passes

if TYPE_CHECKING:
    from torch import Tensor, nn

ANNEALED = 0.25  # share of the updates over which rho falls to its value


class CEBSettings(MethodSettings):
    """Settings of CEB."""

    ceb_rho: float = 3.0
    """Rho of CEB, whose penalty has the weight e^-rho: the lower, the more the code is compressed."""


def _build(parts: Parts[CEBSettings]) -> "training.CEBTraining":
    return training.CEBTraining(parts.settings.ceb_rho, annealing_updates=round(ANNEALED * parts.updates))


def _check_network(model: "nn.Module", images: "Tensor") -> None:
    """Raise UserError unless the network adds noise, and has a mean of its code for each class."""
    import torch

    from infoplane.networks.evaluation_mode import evaluation_mode
    from infoplane.networks.gaussian_layer import recorded_codes
    from infoplane.training.ceb import class_means

    try:
        means = class_means(model)
        with torch.no_grad(), evaluation_mode(model), recorded_codes(model) as codes:
            logits = model(images)
    except ValueError as error:
        raise UserError(f"--methods: ceb: {error}; add --model mlp-ceb") from error
    for name, code in codes.items():
        if means.shape != (expected := (logits.shape[1], code.mean.flatten(start_dim=1).shape[1])):
            raise UserError(f"--methods: ceb: class_means must be {expected} for {name}, got {tuple(means.shape)}")


CEB = MethodSpec(
    name="ceb",
    description="cross-entropy plus what a stochastic code tells beyond the label (Fischer 2020)",
    settings=CEBSettings,
    build=_build,
    passes=lambda _parts: Passes(1),
    attacks=False,
    check_network=_check_network,
)
