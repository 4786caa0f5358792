"""Transfer: examples are made on one network, or on an ensemble, and used on another."""

from __future__ import annotations  # torch is imported where it is used: the list of attacks is read without it

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infoplane.attacks.spec import AttackSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from infoplane.attacks.protocol import Attack
    from infoplane.config import AttackConfig


@dataclass(frozen=True, kw_only=True, eq=False)  # networks are equal only to themselves
class Transfer:
    """An attack that looks at other networks than the one it is called with.

    Args:
        source: network that the attack looks at, in evaluation mode, or several, whose softmaxes are averaged
            (`EnsembleOfSources`). All take the same images and have the same classes as the attacked one.
        attack: made on the source.

    Raises:
        ValueError: `source` is an empty list.

    Source: Papernot et al. (2016), arXiv:1605.07277; Liu et al. (2017), arXiv:1611.02770, Section 4.
    """

    source: nn.Module | Sequence[nn.Module]
    attack: Attack

    def __post_init__(self) -> None:
        from torch import nn

        from infoplane.attacks.ensemble_of_sources import EnsembleOfSources

        if not isinstance(self.source, nn.Module):
            object.__setattr__(self, "source", EnsembleOfSources(self.source))

    @property
    def epsilon(self) -> float | None:
        """Radius of the ball of the attack, if it states one."""
        return getattr(self.attack, "epsilon", None)

    @property
    def norm(self) -> str | None:
        """Norm of that ball."""
        return getattr(self.attack, "norm", None)

    def __call__(
        self,
        model: nn.Module,  # noqa: ARG002 - the attacked network is not looked at
        images: Tensor,
        labels: Tensor,
        *,
        generator: torch.Generator,
        target: Tensor | None = None,
    ) -> Tensor:
        """Return the examples that the attack makes on the source, in its precision; arguments as in `Attack`."""
        from torch import nn

        from infoplane.attacks.contract import apply_attack
        from infoplane.networks.evaluation_mode import evaluation_mode

        assert isinstance(self.source, nn.Module)
        weight = next(self.source.parameters(), None)
        pixels = images if weight is None or not weight.is_floating_point() else images.to(weight.dtype)
        with evaluation_mode(self.source):
            attacked = apply_attack(self.attack, self.source, pixels, labels, generator=generator, target=target)
        return attacked.to(images.dtype)


def transfer_attack(settings: AttackConfig, source: nn.Module) -> Transfer:
    """Return PGD of the settings on the source network."""
    from infoplane.attacks.pgd import pgd_attack

    return Transfer(source=source, attack=pgd_attack(settings))


TRANSFER_SPEC = AttackSpec(
    name="transfer",
    description="PGD on a substitute network that the run trains normally beside (Papernot et al. 2016)",
    settings=("norm", "epsilon", "step_size", "steps"),
    norms=("linf", "l2"),
    build=transfer_attack,
    cost=lambda settings: settings.steps,
    threat="transfer",
    source="Papernot et al. (2016), arXiv:1605.07277",
)
