"""How much of the label decoders read along the layers of the finished networks: of originals, and under attack.

Decoders are fitted on original examples. From attacked examples they read what the layer still encodes as before;
decoders refitted to attacked examples would also read the traces that an attack leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl

from infoplane.findings.attack_losses import Losses, less
from infoplane.findings.attacks import chosen_attack
from infoplane.findings.curves import group_matrix, rows_to_judge
from infoplane.findings.evidence import Evidence, Paired
from infoplane.records.tables import (
    DECODED,
    DECODED_TRANSFER,
    LABEL_INFORMATION,
    MISTAKEN_INFORMATION,
    NORMAL_TRAINING,
    ORIGINAL,
    PIXELS_INDEX,
    RANDOM,
    TRUE_INFORMATION,
    trainings_at_chance,
)

Layer = tuple[int, str]  # index and name


class Point(NamedTuple):
    """Decoded information about the label at one layer, in nats, as a mean over seeds.

    Attributes:
        layer: its index and name.
        value: raw; below 0 where decoders are misled.
        low: of the 95 % interval; None if it is not known.
        high: likewise.
        null: the 95 % quantile over permuted labels, the largest of all seeds; None if none was taken.
        found: whether the value exceeds its null, and a linear decoder finds anything at all.
        undersampled: whether more examples would give a clearly larger value, in any seed. The value is then too low:
            a statement may rest on it only if a larger value would support the statement all the more.
        seeds: number of trainings.
        ceiling: the largest of all seeds; None if it is not known. Intervals are raw, and can pass it.
    """

    layer: Layer
    value: float
    low: float | None
    high: float | None
    null: float | None
    found: bool
    undersampled: bool
    seeds: int
    ceiling: float | None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One number of each seed, with its standing."""

    paired: Paired
    point: Point


class LabelProfiles:
    """The profiles of all trainings and kinds of examples; trainings at chance are left out.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`, of all epochs.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
    """

    def __init__(self, measurements: pl.DataFrame, performance: pl.DataFrame) -> None:
        self.at_chance = trainings_at_chance(performance)
        rows = measurements.filter(
            pl.col("distortion").is_null(),
            pl.col("split") == "test",
            pl.col("layer_index") != PIXELS_INDEX,
            (pl.col("examples") != RANDOM) | (pl.col("quantity") == MISTAKEN_INFORMATION),
            pl.col("estimator").is_in([DECODED, DECODED_TRANSFER]),
        )
        for seed, training in self.at_chance:
            rows = rows.filter((pl.col("seed") != seed) | (pl.col("training") != training))
        labels = rows.filter(pl.col("quantity") == LABEL_INFORMATION)
        last = _at_last(rows, labels)
        self.epochs: dict[str, int] = dict(last.select("training", "epoch").unique().sort("training").iter_rows())
        self.losses = Losses(last)
        self.attack = chosen_attack(labels, performance.filter(pl.col("distortion").is_null())).judged
        self.ceiling: float | None = _largest(labels["ceiling_nats"])
        self.permutations: int = int(_largest(labels["permutations"]) or 0)
        self._found = {
            (quantity, training, examples): _measured(own)
            for quantity in (LABEL_INFORMATION, MISTAKEN_INFORMATION, TRUE_INFORMATION)
            for (training, examples), own in _by_examples(last.filter(pl.col("quantity") == quantity))
        }
        self._first = {
            training: _measured(own)
            for (training, examples), own in _by_examples(labels.filter(pl.col("epoch") == 0))
            if examples == ORIGINAL
        }

    @property
    def trainings(self) -> list[str]:
        """Trainings with a profile, normal training first."""
        found = {training for quantity, training, _ in self._found if quantity == LABEL_INFORMATION}
        return sorted(found, key=lambda training: (training != NORMAL_TRAINING, training))

    def attacks(self, training: str) -> list[str]:
        """Attacks whose examples the decoders of originals were applied to, the judged one first."""
        found = {name for quantity, own, name in self._found if quantity == LABEL_INFORMATION and own == training}
        return sorted(found - {ORIGINAL}, key=lambda name: (name != self.attack, name))

    def points(self, training: str, examples: str, quantity: str = LABEL_INFORMATION) -> list[Point]:
        """Return one point per layer, from input to output; empty where nothing was measured."""
        return [one.point for one in self._found.get((quantity, training, examples), {}).values()]

    def untrained(self, training: str) -> list[Point]:
        """Return the points of the network with random weights, at epoch 0, on originals."""
        return [one.point for one in self._first.get(training, {}).values()]

    def paired(self, training: str, examples: str, layer: Layer, quantity: str = LABEL_INFORMATION) -> Paired | None:
        """Return the number of each seed, with its groups of examples; None where it was not measured."""
        one = self._found.get((quantity, training, examples), {}).get(layer)
        return one.paired if one is not None else None

    def raised(self, training: str, layer: Layer) -> Evidence | None:
        """Return how much more decoders read from originals than at epoch 0; None where that was not measured."""
        first = self._first.get(training, {}).get(layer)
        return difference(self.paired(training, ORIGINAL, layer), first.paired if first else None)


def difference(one: Paired | None, other: Paired | None) -> Evidence | None:
    """Return `one` less `other` with its interval; None where they are not of the same seeds and groups."""
    if one is None or other is None or one.values.shape != other.values.shape or one.groups.shape != other.groups.shape:
        return None
    return less(one, other).evidence()


def _at_last(rows: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the last epoch at which decoders were fitted; of the seeds that came as far as any."""
    ends = labels.filter(pl.col("examples") == ORIGINAL).group_by("training").agg(pl.col("epoch").max())
    return rows.join(ends, on=["training", "epoch"], how="semi")


def _by_examples(rows: pl.DataFrame) -> list[tuple[tuple[str, str], pl.DataFrame]]:
    """Split rows by training and examples; of attacked examples the decoders of originals are kept."""
    wanted = pl.when(pl.col("examples") == ORIGINAL).then(pl.lit(DECODED)).otherwise(pl.lit(DECODED_TRANSFER))
    own = rows_to_judge(rows.filter(pl.col("estimator") == wanted))
    parts = own.partition_by("training", "examples", as_dict=True, maintain_order=True)
    return [((str(training), str(examples)), part) for (training, examples), part in parts.items()]


def _measured(rows: pl.DataFrame) -> dict[Layer, Measured]:
    found = {}
    for (index, name), own in (
        rows.sort("layer_index", "layer", "seed")
        .partition_by("layer_index", "layer", as_dict=True, maintain_order=True)
        .items()
    ):
        layer = (int(index), str(name))
        paired = Paired(values=own["value_nats"].to_numpy(), groups=group_matrix(own))
        low, high = _interval(own, paired)
        point = Point(
            layer,
            float(paired.values.mean()),
            low,
            high,
            null=_largest(own["null_quantile95_nats"]),
            found=not (own["null_like"] | own["linear_zero"]).any(),
            undersampled=bool(own["undersampled"].any()),
            seeds=len(own),
            ceiling=_largest(own["ceiling_nats"]),
        )
        found[layer] = Measured(paired=paired, point=point)
    return found


def _interval(rows: pl.DataFrame, paired: Paired) -> tuple[float | None, float | None]:
    """Return the recorded interval of a single seed, otherwise the one over examples and seeds."""
    low, high = rows["interval_low"][0], rows["interval_high"][0]
    if len(rows) == 1 and low is not None and high is not None:
        return float(low), float(high)
    ends = paired.evidence().interval()
    return (ends.low, ends.high) if np.isfinite([ends.low, ends.high]).all() else (None, None)


def _largest(column: pl.Series) -> float | None:
    known: Sequence[float] = column.drop_nulls().to_list()
    return max(known, default=None)
