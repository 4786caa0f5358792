"""Which two trainings the claims compare: normal training and one adversarial training, whatever its method."""

from typing import NamedTuple

import polars as pl

from infoplane.records.tables import ADVERSARIAL_TRAINING, NORMAL_TRAINING


class Trainings(NamedTuple):
    """The training that is judged as adversarial training, and the others that were recorded."""

    adversarial: str
    left_out: tuple[str, ...]

    def note(self) -> str:
        """Return what a verdict about both trainings should add; empty if nothing."""
        said = []
        if self.adversarial != ADVERSARIAL_TRAINING:
            said.append(f"{self.adversarial} training is judged as adversarial training")
        if self.left_out:
            said.append(f"recorded but not judged: {', '.join(self.left_out)} training")
        return "; ".join(said)


def chosen_trainings(measurements: pl.DataFrame, performance: pl.DataFrame, wanted: str | None = None) -> Trainings:
    """Choose the adversarial training: the one called so if there is one, otherwise the first other in the records.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
        wanted: the name of another choice.

    Raises:
        ValueError: `wanted` is not among the recorded trainings, or is the normal one.
    """
    columns = (table["training"].unique(maintain_order=True) for table in (measurements, performance))
    others = [name for name in dict.fromkeys(name for column in columns for name in column) if name != NORMAL_TRAINING]
    if wanted is not None and wanted not in others:
        raise ValueError(
            f"training must be one of those recorded besides {NORMAL_TRAINING!r}, {others}, got {wanted!r}"
        )
    adversarial = wanted or (others[0] if others and ADVERSARIAL_TRAINING not in others else ADVERSARIAL_TRAINING)
    return Trainings(adversarial, tuple(name for name in others if name != adversarial))
