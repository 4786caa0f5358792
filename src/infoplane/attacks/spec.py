"""`AttackSpec`: name, description, settings, norms, builder and cost of one attack."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from infoplane.attacks.protocol import Attack
    from infoplane.config import AttackConfig


@dataclass(frozen=True, kw_only=True)
class AttackSpec:
    """One attack that a run can measure. Reading a spec imports no torch; `build` does.

    Args:
        name: as typed after `--attacks`; "package.module:function" for a user's own attack.
        description: one line, for `--help` and documentation.
        settings: names of the fields of `AttackConfig` that the attack depends on.
        norms: values of `AttackConfig.norm` with which the attack can be measured.
        build: function that returns the attack with the given settings; of a transfer attack, its second argument is
            the network on which the examples are made.
        cost: function that returns the largest number of gradients per image with the given settings.
        threat: what the attacker sees: the network with its weights ("white-box"), its answers alone ("black-box"),
            another network ("transfer"); "control" is no attack.
        source: paper and section or equation.
        queries: largest number of forward passes without a gradient, per image.
        in_ball: whether the attack stays in the ball of the settings; others look for the smallest perturbation.
        fewest_classes: the attack compares this many logits.
        extra: name of the optional dependencies of infoplane that the attack needs.
        of_recipe: whether this is the recipe's own attack. The records call its examples "adversarial".
    """

    name: str
    description: str
    settings: tuple[str, ...]
    norms: tuple[str, ...]
    build: "Callable[..., Attack]"
    cost: "Callable[[AttackConfig], int]"
    threat: Literal["white-box", "black-box", "transfer", "control"] = "white-box"
    source: str = ""
    queries: int = 0
    in_ball: bool = True
    fewest_classes: int = 2
    extra: str | None = None
    of_recipe: bool = False

    @property
    def needs_source(self) -> bool:
        """Whether the examples are made on another network, the second argument of `build`."""
        return self.threat == "transfer"

    def allows(self, classes: int | None) -> bool:
        """Return whether the attack is defined for so many classes; True if their number is not known."""
        return classes is None or classes >= self.fewest_classes

    @property
    def is_own(self) -> bool:
        """Whether the attack is a user's own function."""
        return ":" in self.name

    @property
    def examples(self) -> str:
        """Name of the attack's examples in the records; for a user's own function, its name without the module."""
        from infoplane.records.tables import ADVERSARIAL  # here, since polars loads slowly

        return ADVERSARIAL if self.of_recipe else self.name.rpartition(":")[2]
