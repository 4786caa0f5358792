"""Spec of FreeLB."""

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes

FREELB = MethodSpec(
    name="freelb",
    description="mean of the gradients at all steps of the attack (Zhu et al. 2020)",
    settings=MethodSettings,
    build=lambda parts: training.FreeLBTraining(parts.attack),
    passes=lambda parts: Passes(parts.attack.steps, loss=parts.attack.steps),
)
