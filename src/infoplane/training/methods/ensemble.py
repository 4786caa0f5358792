"""Spec of ensemble adversarial training."""

from pydantic import Field

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes


class EnsembleSettings(MethodSettings):
    """Settings of ensemble adversarial training."""

    ensemble_sources: int = Field(2, ge=1)
    """Number of other networks that ensemble training attacks, each trained normally with its own seed."""


ENSEMBLE = MethodSpec(
    name="ensemble",
    description="like fgsm, with examples that also come from networks trained beforehand (Tramer et al. 2018)",
    settings=EnsembleSettings,
    build=lambda parts: training.ensemble_training(parts.sources, parts.attack.epsilon),
    passes=lambda parts: Passes(3 + parts.settings.ensemble_sources),
    norms=("linf",),
    sources=lambda settings: settings.ensemble_sources,
)
