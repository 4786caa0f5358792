"""How long each training of a run was to go on: a level is compared at the end, and not on the way there."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from infoplane.config import TrainingConfig
from infoplane.text import with_field_help


@with_field_help
class Plan(NamedTuple):
    """The planned length of each training.

    Attributes:
        epochs: when every training ends; None if it is not known, or if trainings may stop early.
        first_drop: completed epochs at which the learning rate first falls; None if it never does, or is not known.
    """

    epochs: int | None = None
    first_drop: int | None = None

    def too_early(self, epoch: int, lasts: Sequence[int] = ()) -> str:
        """Say why levels at an epoch are not final; nothing if they are, as far as the plan is known.

        Args:
            epoch: at which trainings are compared.
            lasts: the last measured epoch of each training.
        """
        if self.epochs is not None and epoch < self.epochs:
            return f"unfinished: compared at epoch {epoch} of {self.epochs}"
        if len(set(lasts)) > 1:
            return f"unfinished: one training is measured to epoch {min(lasts)}, the other to epoch {max(lasts)}"
        if self.first_drop is not None and epoch <= self.first_drop:
            return f"too early: epoch {epoch} is before the learning rate first falls (epoch {self.first_drop})"
        return ""


def plan_of(settings: Mapping[str, Any]) -> Plan:
    """Return the plan in the settings of a run; an empty plan if they are not those of study one."""
    known = settings.get("training")
    if not isinstance(known, Mapping):
        return Plan()
    training = TrainingConfig.model_validate(known)
    return Plan(training.epochs if training.patience is None else None, training.first_drop)
