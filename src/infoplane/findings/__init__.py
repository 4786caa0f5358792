"""Tests of the study's claims: statistics with intervals and verdicts."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from infoplane.findings.attacks import chosen_attack
from infoplane.findings.claim import AtHand, Claim
from infoplane.findings.claims import CLAIMS
from infoplane.findings.curves import read_curves
from infoplane.findings.finding import Finding, Number, Verdict
from infoplane.findings.noise_range import read_profiles
from infoplane.findings.plan import Plan, plan_of
from infoplane.findings.trainings import chosen_trainings
from infoplane.findings.verdict import ClaimVerdict, claim_verdict
from infoplane.records.tables import ADVERSARIAL_TRAINING, PIXELS_INDEX, TEST, trainings_at_chance
from infoplane.text import with_field_help

__all__ = ["CLAIMS", "Claim", "ClaimVerdict", "Finding", "Findings", "Number", "Plan", "Verdict", "find", "plan_of"]


@with_field_help
class Findings(NamedTuple):
    """Whether the claims hold in a run: a verdict for each, and the findings that they rest on.

    Attributes:
        claims: a verdict for each claim.
        findings: what the verdicts rest on.
    """

    claims: list[ClaimVerdict]
    findings: list[Finding]

    def __repr__(self) -> str:
        lines = [f"  {one.claim} {one.verdict}: {one.statement}" for one in self.claims]
        return "\n".join([f"Findings({len(self.findings)} findings about {len(self.claims)} claims)", *lines])

    def about(self, claim: str) -> list[Finding]:
        """Return the findings about one claim, those that its verdict rests on first."""
        return sorted((one for one in self.findings if one.claim == claim), key=lambda one: not one.part)


def find(
    measurements: pl.DataFrame,
    performance: pl.DataFrame,
    sweeps: pl.DataFrame | None = None,
    *,
    training: str | None = None,
    plan: Plan | None = None,
) -> Findings:
    """Test every claim on the records of a run. A claim whose records are missing is undecided.

    Trainings at chance are left out and named: their networks answer no better than a constant.

    Normal training is compared with one adversarial training, and original examples with those of one attack: the
    ones called "adversarial", otherwise the first others in the records. Other trainings and attacks that were recorded
    are named and not judged.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`, of all studies.
        performance: columns of `records.PERFORMANCE_SCHEMA`, likewise.
        sweeps: columns of `sweeps.SWEEP_SCHEMA`, of study three; None if it was not run.
        training: that is judged as adversarial training; by default the one called "adversarial", otherwise the first
            besides "normal" in the records.
        plan: when each training was to end, and when its learning rate first falls (`plan_of` the settings of a run).
            Without it, a training counts as finished unless another one was measured for longer.

    Raises:
        ValueError: `training` was not recorded.
    """
    dead = trainings_at_chance(performance)
    measurements, performance = (table.filter(pl.col("split") == TEST) for table in (measurements, performance))
    measurements = measurements.filter(pl.col("layer_index") != PIXELS_INDEX)  # a baseline and no layer
    measurements, performance = (_without(table, dead) for table in (measurements, performance))
    trainings = chosen_trainings(measurements, performance, training)
    attacks = chosen_attack(measurements, performance)
    measurements, performance = (attacks.judged_only(table) for table in (measurements, performance))
    at_hand = AtHand(
        curves=read_curves(measurements),
        measurements=measurements,
        performance=performance,
        sweeps=sweeps,
        adversarial=trainings.adversarial,
        plan=plan or Plan(),
        profiles=read_profiles(measurements),
    )
    left_out = ", ".join(f"{name} training of seed {seed}" for seed, name in dead)
    claims, findings = [], []
    for claim in CLAIMS:
        statements = claim.statements(at_hand)
        verdict = claim_verdict(claim, statements)
        notes = [
            trainings.note() if ADVERSARIAL_TRAINING in claim.trainings else "",
            attacks.note() if claim.trainings else "",
            f"left out, at chance: {left_out}" if claim.trainings and left_out else "",
        ]
        claims.append(verdict._replace(reason="; ".join(filter(None, (verdict.reason, *notes)))))
        findings += [one.finding(claim.number) for one in statements]
    return Findings(claims, findings)


def _without(table: pl.DataFrame, dead: Sequence[tuple[int, str]]) -> pl.DataFrame:
    for seed, training in dead:
        table = table.filter((pl.col("seed") != seed) | (pl.col("training") != training))
    return table
