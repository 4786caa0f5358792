"""Spec of HBaR with adversarial training."""

from pydantic import Field

from infoplane import training
from infoplane.training.methods.hbar import BOTTLENECK, check_hidden_layers
from infoplane.training.spec import MethodSettings, MethodSpec, Passes


class AdversarialHBaRSettings(MethodSettings):
    """Settings of HBaR with adversarial training."""

    adversarial_hbar_x: float = Field(0.003, gt=0)
    """Weight in adversarial-hbar of the dependence of hidden layers on the image; the paper's value on MNIST."""
    adversarial_hbar_y: float = Field(0.001, gt=0)
    """Weight in adversarial-hbar of the dependence of hidden layers on the label; the paper's value on MNIST."""


ADVERSARIAL_HBAR = MethodSpec(
    name="adversarial-hbar",
    description="adversarial, with the HSIC bottleneck of hbar on the original images (Wang et al. 2021)",
    settings=AdversarialHBaRSettings,
    build=lambda parts: training.adversarial_hbar_training(
        parts.attack,
        input_weight=parts.settings.adversarial_hbar_x,
        label_weight=parts.settings.adversarial_hbar_y,
    ),
    passes=lambda parts: Passes(parts.attack.steps + 2 + BOTTLENECK, loss=2 + BOTTLENECK),
    check_network=check_hidden_layers,
)
