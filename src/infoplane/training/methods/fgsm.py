"""Spec of FGSM adversarial training."""

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes

FGSM = MethodSpec(
    name="fgsm",
    description="half the loss on original images, half on images attacked in one step (Goodfellow et al. 2015)",
    settings=MethodSettings,
    build=lambda parts: training.fgsm_training(parts.attack.epsilon),
    passes=lambda _parts: Passes(3),
    norms=("linf",),
)
