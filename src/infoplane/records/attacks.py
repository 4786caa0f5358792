"""Tables of `infoplane attacks`: how strong each attack is, and how examples of one network fool another."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

import polars as pl

from infoplane.records.short_repr import with_short_repr
from infoplane.records.tables import table_schema

ATTACKS_STUDY = "attacks"  # in the column `study` of the measurements


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class AttackOutcome:
    """Strength and cost of one attack on one network. Norms are of pixels in [0, 1].

    Its examples have the name `examples` in the measurements. Medians are over the images that the network classifies
    rightly and misclassifies under the attack; null if there are none.
    """

    seed: int  # of the training
    training: str  # name of the training
    epoch: int  # completed epochs of the network
    attack: str  # name of the attack
    examples: str  # of its examples
    threat: str  # "white-box", "black-box", "transfer" or "control"
    in_ball: bool  # whether it stays in the ball of the settings; others look for the smallest perturbation
    gradients: float  # per image, as counted
    queries: float  # forward passes without a gradient per image, as counted
    seconds: float  # of all images
    n: int  # number of attacked images
    accuracy: float  # under the attack
    original_accuracy: float  # without the attack, on the same images
    median_l2: float | None = None  # Euclidean length of the perturbation
    median_linf: float | None = None  # largest change of a pixel


@with_short_repr
@dataclass(frozen=True, kw_only=True, slots=True)
class TransferOutcome:
    """Examples of the network `source`, tested on the network `target`. Intervals are 95 %."""

    attack: str  # name of the attack
    source: str  # training, seed and, where there are several, epoch
    target: str  # likewise
    accuracy: float  # of the target on the examples
    accuracy_low: float  # lower end of the 95 % interval
    accuracy_high: float  # upper end
    n: int  # number of examples
    success: float | None = None  # share that the target misclassifies of the images that both classify rightly
    success_low: float | None = None  # lower end of its 95 % interval
    success_high: float | None = None  # upper end
    n_both: int  # images that both networks classify rightly


ATTACK_OUTCOME_SCHEMA = table_schema(AttackOutcome)  # columns of the table, with their types
TRANSFER_SCHEMA = table_schema(TransferOutcome)  # columns of the table, with their types


def attack_outcome_table(rows: Iterable[AttackOutcome]) -> pl.DataFrame:
    """Return the rows as a table with the columns and types of `ATTACK_OUTCOME_SCHEMA`, also when there are none."""
    return pl.DataFrame([asdict(row) for row in rows], schema=ATTACK_OUTCOME_SCHEMA)
