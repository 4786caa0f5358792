"""Spec of MART."""

from pydantic import Field

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes


class MARTSettings(MethodSettings):
    """Settings of MART."""

    mart_weight: float = Field(5.0, gt=0)
    """Weight of the divergence in MART."""


MART = MethodSpec(
    name="mart",
    description="margin loss on attacked images plus a divergence for unsure ones (Wang et al. 2020)",
    settings=MARTSettings,
    build=lambda parts: training.mart_training(parts.attack, weight=parts.settings.mart_weight),
    passes=lambda parts: Passes(parts.attack.steps + 2, loss=2),
)
