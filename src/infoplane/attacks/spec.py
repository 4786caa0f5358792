"""All that is known of one attack: its name, what it does, how it is made, what it costs, where it is defined."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from infoplane.attacks.protocol import Attack
    from infoplane.config import AttackConfig


@dataclass(frozen=True, kw_only=True)
class AttackSpec:
    """One attack that a run can measure. Reading a spec imports no torch; `build` does.

    Args:
        name: as typed behind `--attack`; of the user's own, "package.module:function".
        description: one line, for `--help` and documentation.
        settings: names of those fields of `AttackConfig` that the attack depends on.
        norms: values of `AttackConfig.norm` that the attack is defined for.
        build: returns the attack with the given settings.
        cost: returns how many gradients the attack takes per image with the given settings.
        of_recipe: whether this is the recipe's own attack, whose examples the records call adversarial.
    """

    name: str
    description: str
    settings: tuple[str, ...]
    norms: tuple[str, ...]
    build: "Callable[[AttackConfig], Attack]"
    cost: "Callable[[AttackConfig], int]"
    of_recipe: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is a function of the user's own."""
        return ":" in self.name

    @property
    def examples(self) -> str:
        """Name of its examples in the records: that of the attack, or of the user's function without its module."""
        from infoplane.records.tables import ADVERSARIAL  # here, since polars loads slowly

        return ADVERSARIAL if self.of_recipe else self.name.rpartition(":")[2]
