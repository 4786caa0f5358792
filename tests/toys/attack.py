"""A toy attack, as docs/add-an-attack.md says to add one: random noise in the ball."""

from typing import TYPE_CHECKING

from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    from infoplane.attacks import Attack
    from infoplane.config import AttackConfig


def noise_attack(settings: "AttackConfig") -> "Attack":
    """Return an attack that adds uniform noise of at most epsilon per pixel."""
    import torch

    def noise(model, images, labels, *, generator, target=None):
        draws = torch.rand(images.shape, generator=generator, device=generator.device).to(images.device)
        return (images + (2 * draws - 1) * settings.epsilon).clamp(0, 1)

    return noise


TOY = AttackSpec(
    name="toy",
    description="uniform noise of at most epsilon per pixel",
    settings=("epsilon",),
    norms=("linf",),
    build=noise_attack,
    cost=lambda _settings: 0,
)
