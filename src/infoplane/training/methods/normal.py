"""Spec of normal training."""

from infoplane import training
from infoplane.training.spec import MethodSettings, MethodSpec, Passes

NORMAL = MethodSpec(
    name="normal",
    description="cross-entropy on original images",
    settings=MethodSettings,
    build=lambda _parts: training.normal_training(),
    passes=lambda _parts: Passes(1),
    attacks=False,
)
