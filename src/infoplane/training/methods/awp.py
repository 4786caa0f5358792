"""Spec of the wrapper AWP, adversarial weight perturbation."""

from pydantic import Field

from infoplane import training
from infoplane.training.spec import MethodSettings, WrapperSpec


class AWPSettings(MethodSettings):
    """Settings of AWP."""

    awp_gamma: float = Field(0.01, gt=0)
    """Length of the move of the weights in AWP, relative to their length."""


AWP = WrapperSpec(
    name="awp",
    description="the method's gradient is taken at perturbed weights (Wu et al. 2020)",
    settings=AWPSettings,
    build=lambda method, settings: training.AWPTraining(method, gamma=settings.awp_gamma),
    passes=lambda passes: passes.loss,
)
