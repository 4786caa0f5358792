"""Spec of free adversarial training."""

from pydantic import Field

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes


class FreeSettings(MethodSettings):
    """Settings of Free-AT."""

    free_replays: int = Field(8, ge=1)
    """Updates per batch of Free-AT. An epoch uses that many times fewer batches, so it has as many updates."""


FREE = MethodSpec(
    name="free",
    description="each batch several times; one backward pass moves weights and perturbation (Shafahi et al. 2019)",
    settings=FreeSettings,
    build=lambda parts: training.FreeTraining(parts.attack.epsilon, replays=parts.settings.free_replays),
    passes=lambda parts: Passes(1, loss=1 / parts.settings.free_replays),
    norms=("linf",),
)
