"""Spec of CEB."""

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Parts, Passes

ANNEALED = 0.25  # share of the updates over which rho falls to its value


class CEBSettings(MethodSettings):
    """Settings of CEB."""

    ceb_rho: float = 3.0
    """Rho of CEB, whose penalty has the weight e^-rho: the lower, the more the code is compressed."""


def _build(parts: Parts[CEBSettings]) -> training.CEBTraining:
    return training.CEBTraining(parts.settings.ceb_rho, annealing_updates=round(ANNEALED * parts.updates))


CEB = MethodSpec(
    name="ceb",
    description="cross-entropy plus what a stochastic code tells beyond the label (Fischer 2020)",
    settings=CEBSettings,
    build=_build,
    passes=lambda _parts: Passes(1),
    attacks=False,
    lacks=lambda model: training.lacks_class_means(model),
    models=("mlp-ceb",),
)
