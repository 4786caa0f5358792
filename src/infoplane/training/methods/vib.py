"""Spec of VIB."""

from pydantic import Field

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes


class VIBSettings(MethodSettings):
    """Settings of VIB."""

    vib_beta: float = Field(1e-3, ge=0)
    """Weight of the rate of the code in VIB."""


VIB = MethodSpec(
    name="vib",
    description="cross-entropy plus the rate of a stochastic code (Alemi et al. 2017)",
    settings=VIBSettings,
    build=lambda parts: training.vib_training(parts.settings.vib_beta),
    passes=lambda _parts: Passes(1),
    attacks=False,
    lacks=lambda model: training.lacks_code(model),
    models=("mlp-vib", "mlp-nib", "mlp-ceb"),
)
