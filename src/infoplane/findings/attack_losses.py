"""How much information each layer loses under each attack, in pairs with the same examples without it.

Three readings of a layer are compared with the originals':

- "carried": I(T;Y) by decoders fitted to originals: what the layer still encodes as before. Below 0, a decoder that is
  misled, counts as 0: nothing is carried (`at_least_nothing`).
- "readable": I(T;Y) by decoders refitted to the attacked examples; they also read the traces that an attack leaves.
- "input": I(X;T) by the lower KDE bound at relative noise.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from infoplane.findings.curves import group_matrix, rows_to_judge
from infoplane.findings.evidence import LEVEL, Evidence, Paired, t_ends
from infoplane.records.tables import (
    ADVERSARIAL,
    DECODED,
    DECODED_TRANSFER,
    INPUT_INFORMATION,
    KDE_BD,
    LABEL_INFORMATION,
    ORIGINAL,
    RELATIVE_NOISE,
)

CARRIED, READABLE, INPUT = "carried", "readable", "input"
_KDE = f"{KDE_BD}@{RELATIVE_NOISE}"
# reading -> quantity, estimator of originals, estimator of attacked examples
_ESTIMATORS = {
    CARRIED: (LABEL_INFORMATION, DECODED, DECODED_TRANSFER),
    READABLE: (LABEL_INFORMATION, DECODED, DECODED),
    INPUT: (INPUT_INFORMATION, _KDE, _KDE),
}
LOSS_SCHEMA: dict[str, pl.DataType] = {
    "training": pl.String(),
    "examples": pl.String(),
    "layer_index": pl.Int64(),
    "layer": pl.String(),
    "reading": pl.String(),
    "original_nats": pl.Float64(),
    "attacked_nats": pl.Float64(),
    "lost_nats": pl.Float64(),
    "lost_low": pl.Float64(),
    "lost_high": pl.Float64(),
    "beyond_pgd_nats": pl.Float64(),
    "beyond_pgd_low": pl.Float64(),
    "beyond_pgd_high": pl.Float64(),
    "seeds": pl.Int64(),
}


class Place(NamedTuple):
    """Of which examples and layer a loss is."""

    training: str
    examples: str
    layer: tuple[int, str]
    reading: str


class Losses:
    """The losses of all trainings, attacks and layers, each paired with the originals over examples.

    Args:
        measurements: of finished networks, columns of `records.MEASUREMENT_SCHEMA`, originals among them.
    """

    def __init__(self, measurements: pl.DataFrame) -> None:
        self.values: dict[Place, tuple[float, float]] = {}  # information of originals and of attacked examples, in nats
        self.paired: dict[Place, Paired] = {}  # the loss
        self.beyond_half: dict[Place, Paired] = {}  # the loss, less half of the information of originals
        rows = rows_to_judge(measurements)
        for reading, (quantity, of_originals, of_attacked) in _ESTIMATORS.items():
            own = rows.filter(pl.col("quantity") == quantity)
            originals = dict(_information(own.filter(pl.col("examples") == ORIGINAL), of_originals))
            for (training, examples, layer), attacked in _information(
                own.filter(pl.col("examples") != ORIGINAL), of_attacked
            ):
                original = originals.get((training, ORIGINAL, layer))
                if original is None or original.values.shape != attacked.values.shape:
                    continue
                place = Place(training, examples, layer, reading)
                self.values[place] = float(original.values.mean()), float(attacked.values.mean())
                left = at_least_nothing(attacked) if reading == CARRIED else attacked
                self.paired[place] = less(original, left)
                self.beyond_half[place] = less(part(original, 0.5), left)

    @property
    def trainings(self) -> list[str]:
        """Trainings in the order of the records."""
        return list(dict.fromkeys(place.training for place in self.paired))

    def attacks(self, training: str) -> list[str]:
        """Names of the attacked examples of a training, in the order of the records."""
        return list(dict.fromkeys(place.examples for place in self.paired if place.training == training))

    def layers(self, training: str) -> list[tuple[int, str]]:
        """(index, name) of the layers of a training, from input to output."""
        return sorted({place.layer for place in self.paired if place.training == training})

    def loss(self, training: str, examples: str, layer: tuple[int, str], reading: str = CARRIED) -> Evidence | None:
        """Return the loss with its interval, None where it was not measured."""
        found = self.paired.get(Place(training, examples, layer, reading))
        return found.evidence() if found is not None else None

    def mean(
        self, training: str, examples: Sequence[str], layer: tuple[int, str], reading: str = CARRIED
    ) -> Paired | None:
        """Return the mean loss over several attacks, None where one was not measured."""
        found = [self.paired.get(Place(training, name, layer, reading)) for name in examples]
        known = [one for one in found if one is not None]
        if not known or len(known) < len(found):
            return None
        return Paired(
            values=np.mean([one.values for one in known], axis=0), groups=np.mean([one.groups for one in known], axis=0)
        )

    def table(self) -> pl.DataFrame:
        """Return all losses, and how they differ from those of PGD, columns of `LOSS_SCHEMA`."""
        rows = []
        for place, paired in self.paired.items():
            evidence, pgd = paired.evidence(), self.paired.get(place._replace(examples=ADVERSARIAL))
            row: dict[str, object] = {
                "training": place.training,
                "examples": place.examples,
                "layer_index": place.layer[0],
                "layer": place.layer[1],
                "reading": place.reading,
                "original_nats": self.values[place][0],
                "attacked_nats": self.values[place][1],
                "lost_nats": evidence.value,
                "lost_low": evidence.interval().low,
                "lost_high": evidence.interval().high,
                "seeds": len(paired.values),
            }
            if pgd is not None and place.examples != ADVERSARIAL and pgd.values.shape == paired.values.shape:
                beyond = less(paired, pgd).evidence()
                interval = beyond.interval()
                row |= {"beyond_pgd_nats": beyond.value}
                row |= {"beyond_pgd_low": interval.low, "beyond_pgd_high": interval.high}
            rows.append(row)
        return pl.DataFrame(rows, schema=LOSS_SCHEMA)


class LostAt(NamedTuple):
    """Where along the layers the label is lost.

    Attributes:
        layer: (index, name) of the layer from which on every layer has lost more than half of what the last one has
            lost, with a 95 % interval of its loss above 0; None if the last layer still has half of the label, or its
            interval does not exclude that.
        total: loss of the last layer in nats.
        value: loss of that layer in nats.
    """

    layer: tuple[int, str] | None
    total: float
    value: float


def lost_at(losses: Losses, training: str, examples: str) -> LostAt | None:
    """Return where the label is lost, by the decoders of originals; None where that was not measured.

    A layer whose decoders are misled, before others that still carry the label, has lost nothing: later layers compute
    from it.
    """
    known = [(layer, losses.loss(training, examples, layer)) for layer in losses.layers(training)]
    found = [(layer, loss) for layer, loss in known if loss is not None]
    if not found:
        return None
    final, last = found[-1]
    lost = LostAt(None, last.value, 0.0)
    if losses.beyond_half[Place(training, examples, final, CARRIED)].evidence().interval(LEVEL).low <= 0:
        return lost
    for layer, loss in reversed(found):
        if loss.interval(LEVEL).low <= 0 or loss.value <= last.value / 2:
            break
        lost = LostAt(layer, last.value, loss.value)
    return lost


def _information(rows: pl.DataFrame, estimator: str) -> Iterator[tuple[tuple[str, str, tuple[int, str]], Paired]]:
    """Yield the information of each training, kind of examples and layer, a value per seed."""
    own = rows.filter(pl.col("estimator") == estimator).sort("seed")
    keys = ["training", "examples", "layer_index", "layer"]
    groups: Mapping[tuple[object, ...], pl.DataFrame] = own.partition_by(keys, as_dict=True, maintain_order=True)
    for (training, examples, index, layer), part in groups.items():
        paired = Paired(values=part["value_nats"].to_numpy(), groups=group_matrix(part))
        yield (str(training), str(examples), (int(str(index)), str(layer))), paired


def at_least_nothing(information: Paired) -> Paired:
    """Return information with negative values replaced by 0.

    The 0 has no error if the whole 95 % interval over examples lies below it; otherwise it keeps the error of the
    value, which may be above 0.
    """
    below = t_ends(information.values, information.groups, LEVEL)[1] < 0
    groups = np.where(below[:, None], 0.0, information.groups)
    return Paired(values=np.maximum(information.values, 0.0), groups=groups)


def part(information: Paired, share: float) -> Paired:
    """Return a share of an information, with the same share of its error."""
    return Paired(values=share * information.values, groups=share * information.groups)


def less(one: Paired, other: Paired) -> Paired:
    """Return the difference of two statistics of the same seeds and examples."""
    return Paired(values=one.values - other.values, groups=one.groups - other.groups)
