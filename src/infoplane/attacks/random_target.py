"""PGD towards a random class: a control for what an attack writes about the label into images."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from infoplane.attacks.protocol import Attack
    from infoplane.config import AttackConfig


@dataclass(frozen=True, kw_only=True)
class RandomTarget:
    """Aims another attack at random classes. The perturbation then depends on the image, but not on its label.

    The target of each image is the label of a random image of the batch, perhaps its own. So classes are targets as
    often as they occur.

    Args:
        attack: the attack.
    """

    attack: "Attack"

    def __call__(
        self,
        model: "nn.Module",
        images: "Tensor",
        labels: "Tensor",
        *,
        generator: "torch.Generator",
        target: "Tensor | None" = None,
    ) -> "Tensor":
        """Return attacked images, as the attack does. A given `target` is used as it is."""
        import torch

        if target is None:
            order = torch.randperm(len(labels), generator=generator, device=generator.device)
            target = labels[order.to(labels.device)]
        return self.attack(model, images, labels, generator=generator, target=target)


def random_target_attack(settings: "AttackConfig") -> RandomTarget:
    """Return PGD of the settings towards random classes."""
    from infoplane.attacks.pgd import pgd_attack

    return RandomTarget(attack=pgd_attack(settings))


RANDOM_TARGET_SPEC = AttackSpec(
    name="random-target",
    description="PGD to random labels: a control",
    settings=("norm", "epsilon", "step_size", "steps"),
    norms=("linf", "l2"),
    build=random_target_attack,
    cost=lambda settings: settings.steps,
    threat="control",
)
