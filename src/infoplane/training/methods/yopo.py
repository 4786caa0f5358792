"""Spec of YOPO."""

from typing import TYPE_CHECKING

from pydantic import Field

from infoplane import attacks, training
from infoplane.training.spec import MethodSettings, MethodSpec, Parts, Passes

if TYPE_CHECKING:
    from infoplane.training.method import TrainingMethod


class YOPOSettings(MethodSettings):
    """Settings of YOPO."""

    yopo_rounds: int = Field(5, ge=1)
    """Passes through the whole network per update of YOPO."""
    yopo_steps: int = Field(3, ge=1)
    """Steps through the first layer after each of these passes."""


def _build(parts: Parts[YOPOSettings]) -> "TrainingMethod":
    assert isinstance(parts.attack, attacks.LinfPGD)
    return training.YOPOTraining(parts.attack, rounds=parts.settings.yopo_rounds, steps=parts.settings.yopo_steps)


def _passes(parts: Parts[YOPOSettings]) -> Passes:
    rounds, steps = parts.settings.yopo_rounds, parts.settings.yopo_steps
    whole = rounds * (1 + 0.2 * steps)  # a pass through the first layer costs about a fifth
    return Passes(whole, loss=whole)


YOPO = MethodSpec(
    name="yopo",
    description="few passes through the network, more steps of the attack in its first layer (Zhang et al. 2019)",
    settings=YOPOSettings,
    build=_build,
    passes=_passes,
    norms=("linf",),
)
