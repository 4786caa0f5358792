"""Plane of one kind of examples, on images that were drawn for them alone."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from infoplane.attacks import Attack
from infoplane.measuring.attacked_versions import control_of
from infoplane.measuring.plane import Plane
from infoplane.records.tables import ORIGINAL


class DrawnPlane(Plane):
    """Measures the originals, or the examples of one attack, on images of their own.

    The originals of attacked images are compared with them and train the decoders that are applied to them, but have no
    rows. The random control is measured on the images of the attack that gives its size.

    Args:
        images: as `Plane` takes them.
        labels: likewise.
        examples: "original", or the name of an attack.
        attacks: all of them, by the names of their examples.
        groups: `(n,)` integers below the number of groups, for the means over groups of examples.
        draw: name of the draw, for the records.
        rest: further arguments of `Plane`.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        examples: str,
        attacks: Mapping[str, Attack],
        groups: Tensor,
        draw: str,
        **rest: Any,
    ) -> None:
        super().__init__(images, labels, attack=attacks, **rest)
        self._groups, self._draw = groups, draw
        self._made = {name: attack for name, attack in self._attacks.items() if name == examples}
        self._has_control = control_of(self._attacks) == examples
        if examples != ORIGINAL:
            self._only_compared = frozenset({ORIGINAL})

    def _versions(self, model: nn.Module, training: str, epoch: int, *, final: bool) -> dict[str, Tensor]:
        versions = self._attacked(model, self._made, training, epoch)
        return versions | (self._control() if final and self._has_control else {})

    def _warn_of_a_long_measurement(self, model: nn.Module, *, thorough: bool) -> None:
        """Do nothing: the study says how long its measurements take."""
