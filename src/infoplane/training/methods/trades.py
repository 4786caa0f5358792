"""Spec of TRADES."""

from pydantic import Field

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes


class TRADESSettings(MethodSettings):
    """Settings of TRADES."""

    trades_beta: float = Field(6.0, gt=0)
    """Weight of the divergence in TRADES."""


TRADES = MethodSpec(
    name="trades",
    description="cross-entropy on original images plus the divergence that an attack causes (Zhang et al. 2019)",
    settings=TRADESSettings,
    build=lambda parts: training.trades_training(parts.attack, beta=parts.settings.trades_beta),
    passes=lambda parts: Passes(parts.attack.steps + 3, loss=2),
)
