"""Which attack's examples the claims are judged on beside the original ones, whatever its name is."""

from typing import NamedTuple

import polars as pl

from infoplane.records.tables import ADVERSARIAL, ORIGINAL, RANDOM


class Attacks(NamedTuple):
    """The attack whose examples stand for adversarial examples, and those that were measured and are not judged."""

    judged: str
    left_out: tuple[str, ...]

    def note(self) -> str:
        """Say which examples a verdict rests on and which it leaves out; nothing where there is nothing to say."""
        said = []
        if self.judged != ADVERSARIAL:
            said.append(f"{self.judged} examples stand for adversarial examples")
        if self.left_out:
            said.append(f"measured but not judged: {', '.join(self.left_out)} examples")
        return "; ".join(said)

    def judged_only(self, table: pl.DataFrame) -> pl.DataFrame:
        """Return the rows of the judged attack, called `ADVERSARIAL` then, and of its controls.

        The controls are original and randomly perturbed examples.
        """
        kept = table.filter(pl.col("examples").is_in([ORIGINAL, RANDOM, self.judged]))
        return kept.with_columns(examples=pl.col("examples").replace(self.judged, ADVERSARIAL))


def chosen_attack(measurements: pl.DataFrame, performance: pl.DataFrame) -> Attacks:
    """Choose `ADVERSARIAL` if examples of that name were measured, otherwise the first others in the records.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
    """
    columns = (table["examples"].unique(maintain_order=True) for table in (measurements, performance))
    names = dict.fromkeys(name for column in columns for name in column)
    others = [name for name in names if name not in (ORIGINAL, RANDOM)]
    judged = others[0] if others and ADVERSARIAL not in others else ADVERSARIAL
    return Attacks(judged, tuple(name for name in others if name != judged))
