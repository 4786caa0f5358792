"""The claims of the study as statistics with intervals and verdicts: tested, not asserted."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from infoplane.findings.attacks import chosen_attack
from infoplane.findings.curves import read_curves
from infoplane.findings.distortions import distortion_statements
from infoplane.findings.episodes import compression_statements
from infoplane.findings.finding import CLAIMS, ClaimVerdict, Finding, Number, Statement, Verdict, claim_verdict
from infoplane.findings.levels import level_statements
from infoplane.findings.reversals import reversal_statements
from infoplane.findings.sweeps import sweep_statements
from infoplane.findings.textures import texture_statements
from infoplane.findings.trainings import chosen_trainings
from infoplane.findings.trends import trend_statements
from infoplane.records import trainings_at_chance

__all__ = ["CLAIMS", "ClaimVerdict", "Finding", "Findings", "Number", "Verdict", "find"]


class Findings(NamedTuple):
    """What the records of a run say about the claims."""

    claims: list[ClaimVerdict]
    findings: list[Finding]

    def __repr__(self) -> str:
        lines = [f"  {one.claim} {one.verdict}: {one.statement}" for one in self.claims]
        return "\n".join([f"Findings({len(self.findings)} findings about {len(self.claims)} claims)", *lines])

    def about(self, claim: int) -> list[Finding]:
        """Return the findings about one claim, those that its verdict rests on first."""
        return sorted((one for one in self.findings if one.claim == claim), key=lambda one: not one.part)


def find(
    measurements: pl.DataFrame,
    performance: pl.DataFrame,
    sweeps: pl.DataFrame | None = None,
    *,
    training: str | None = None,
) -> Findings:
    """Test every claim on the records of a run; what was not recorded leaves its claim undecided.

    Trainings at chance are left out and named: their networks answer no better than a constant does.

    Normal training is held against one adversarial training, and original examples against those of one attack: the
    ones called "adversarial", otherwise the first others in the records. Other trainings and attacks that were recorded
    are named and not judged.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`, of all studies.
        performance: columns of `records.PERFORMANCE_SCHEMA`, likewise.
        sweeps: as `sweeps.sweep_statements` takes them.
        training: that stands for adversarial training; by default the one called "adversarial", otherwise the first
            besides "normal" in the records.

    Raises:
        ValueError: `training` was not recorded.
    """
    dead = trainings_at_chance(performance)
    measurements, performance = (_without(table, dead) for table in (measurements, performance))
    trainings = chosen_trainings(measurements, performance, training)
    judged = trainings.adversarial
    attacks = chosen_attack(measurements, performance)
    measurements, performance = (attacks.judged_only(table) for table in (measurements, performance))
    curves = read_curves(measurements)
    statements: Sequence[Statement] = [
        *trend_statements(curves, judged),
        *level_statements(curves, judged),
        *compression_statements(curves, judged),
        *reversal_statements(curves, judged),
        *distortion_statements(measurements, performance, judged),
        *texture_statements(measurements, performance),
        *sweep_statements(sweeps),
    ]
    claims = [claim_verdict(claim, [one for one in statements if one.claim == claim]) for claim in CLAIMS]
    notes = [_noted(one, trainings.note(), _OF_BOTH_TRAININGS) for one in claims]
    notes = [_noted(one, attacks.note(), _OF_EXAMPLES) for one in notes]
    return Findings([_left_out(one, dead) for one in notes], [one.finding() for one in statements])


def _without(table: pl.DataFrame, dead: Sequence[tuple[int, str]]) -> pl.DataFrame:
    for seed, training in dead:
        table = table.filter((pl.col("seed") != seed) | (pl.col("training") != training))
    return table


def _left_out(claim: ClaimVerdict, dead: Sequence[tuple[int, str]]) -> ClaimVerdict:
    if not dead or claim.claim == _OF_NO_TRAINING:
        return claim
    names = ", ".join(f"{training} training of seed {seed}" for seed, training in dead)
    return claim._replace(reason=f"{claim.reason}; left out, at chance: {names}")


_OF_BOTH_TRAININGS = (1, 2, 3, 4)  # the claims that adversarial training takes part in
_OF_EXAMPLES = (1, 2, 3, 4, 5)  # the claims about original and attacked examples
_OF_NO_TRAINING = 6  # the claim about the estimators


def _noted(claim: ClaimVerdict, note: str, claims: Sequence[int]) -> ClaimVerdict:
    if not note or claim.claim not in claims:
        return claim
    return claim._replace(reason=f"{claim.reason}; {note}")
