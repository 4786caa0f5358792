"""Judge the claims that were registered before a run.

- *confirmed*: a claim of the study has the expected verdict; the 95 % interval of a statistic of one's own lies on the
  claimed side of its threshold.
- *refuted*: the study's claim has the opposite verdict; the interval lies on the other side.
- *undecided*: neither. The reason says what is missing.

Every claim is judged at 95 % of its own. With many claims some are confirmed or refuted by chance, so the page says how
many were registered. A run that differs from its registration *deviated*: its outcomes are shown, and are those of a
claim made afterwards.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl

from infoplane.config import flat_settings
from infoplane.findings import Findings
from infoplane.findings.accuracies import ACCURACY, accuracy_error, accuracy_evidence
from infoplane.findings.evidence import LEVEL, Evidence, Floats, Paired, normal_evidence
from infoplane.findings.finding import CONTRADICTED, SUPPORTED, UNDECIDED, against, needed
from infoplane.findings.plan import plan_of
from infoplane.findings.registration import OwnClaim, Place, Registration, StudyClaim, claim_text
from infoplane.findings.rules import rules_hash
from infoplane.records.standing import HELD_OUT, with_standing
from infoplane.records.tables import ADVERSARIAL, ORIGINAL, RANDOM, TEST, trainings_at_chance
from infoplane.text import with_field_help

Outcome = Literal["confirmed", "refuted", "undecided"]
CONFIRMED: Outcome = "confirmed"
REFUTED: Outcome = "refuted"
OPEN: Outcome = "undecided"
_NO_LAST_EPOCH = "the settings do not fix when this training ends (it may stop early), so register an `epoch`"


@with_field_help
class RegisteredOutcome(NamedTuple):
    """What a run says of one registered claim.

    Attributes:
        name: of the claim.
        statistic: what decides it.
        expected: what was registered.
        outcome: "confirmed", "refuted" or "undecided".
        value: of a statistic of one's own, mean over seeds; information in nats.
        low: lower end of its 95 % interval.
        high: upper end.
        reason: why the outcome is what it is.
        unit: of the value: "nats", or "" of accuracy and of claims of the study.
        caveats: what a reader of the value must know: it is that of one seed, or examples were too few.
    """

    name: str
    statistic: str
    expected: str
    outcome: Outcome
    value: float | None
    low: float | None
    high: float | None
    reason: str
    unit: str = ""
    caveats: tuple[str, ...] = ()


@with_field_help
class RegisteredOutcomes(NamedTuple):
    """What a run says of its registration.

    Attributes:
        outcomes: of the claims, in their order: those of the study, then one's own.
        deviations: how the run differs from its registration; empty if it does not.
    """

    outcomes: tuple[RegisteredOutcome, ...]
    deviations: tuple[str, ...]


def judge_registered(
    registration: Registration,
    settings: Mapping[str, Any],
    measurements: pl.DataFrame,
    performance: pl.DataFrame,
    found: Findings,
) -> RegisteredOutcomes:
    """Judge all claims of a registration.

    Args:
        registration: of the run.
        settings: of the run, nested or by names with dots.
        measurements: columns of `records.MEASUREMENT_SCHEMA`.
        performance: columns of `records.PERFORMANCE_SCHEMA`.
        found: verdicts on the claims of the study.
    """
    seeds, last = registration.claims.seeds, plan_of(settings).epochs
    plain = measurements.with_columns(name=pl.col("estimator"))  # `with_standing` adds the noise to `estimator`
    measurements = with_standing(plain).drop("estimator").rename({"name": "estimator"})
    outcomes = [_study_outcome(one, found) for one in registration.claims.study]
    outcomes += [_own_outcome(one, seeds, last, measurements, performance) for one in registration.claims.claims]
    return RegisteredOutcomes(tuple(outcomes), tuple(deviations(registration, settings, performance)))


def deviations(
    registration: Registration, settings: Mapping[str, Any], performance: pl.DataFrame | None = None
) -> list[str]:
    """Say how a run differs from its registration, a line for each difference.

    Args:
        registration: of the run.
        settings: of the run.
        performance: of the run, for the seeds; None if the run only begins.
    """
    flat, lines = flat_settings(settings), []
    for name, wanted in registration.claims.settings.items():
        if name not in flat:
            lines.append(f"{name} was registered as {wanted!r}, and the run has no such setting")
        elif not _equal(flat[name], wanted):
            lines.append(f"{name} was registered as {wanted!r}, and is {flat[name]!r}")
    if performance is not None:
        seeds = set(performance["seed"].unique().to_list())
        if missing := sorted(set(registration.claims.seeds) - seeds):
            lines.append(f"registered seeds that are not there: {', '.join(map(str, missing))}")
        if more := sorted(seeds - set(registration.claims.seeds)):
            lines.append(f"seeds that were not registered: {', '.join(map(str, more))}")
    lines += _unknown_names(registration, flat)
    if registration.rules != rules_hash():
        lines.append("the code that judges claims is not that of the registration")
    return lines


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, int | float) and not isinstance(other, bool):
        return math.isclose(one, other, rel_tol=1e-9)  # the last digits of 45/255 may differ
    return bool(one == other)


def _unknown_names(registration: Registration, settings: Mapping[str, Any]) -> list[str]:
    """Name the trainings and examples of claims that a run of study one does not have, e.g. after a typing mistake."""
    trainings, attacks = settings.get("methods"), settings.get("attacks")
    if trainings is None or attacks is None:
        return []
    examples = {ORIGINAL, ADVERSARIAL, RANDOM, *attacks}
    lines = []
    for one in registration.claims.claims:
        for place in (one.of, one.less):
            if place is not None and place.training not in trainings:
                lines.append(f"{one.name} is about {place.training} training, which the run does not have")
            if place is not None and place.examples not in examples:
                lines.append(f"{one.name} is about {place.examples} examples, which the run does not have")
    return list(dict.fromkeys(lines))


def _study_outcome(one: StudyClaim, found: Findings) -> RegisteredOutcome:
    verdict = next((known for known in found.claims if known.claim == one.claim), None)
    said = UNDECIDED if verdict is None else verdict.verdict
    outcome = OPEN if said == UNDECIDED else CONFIRMED if said == one.expect else REFUTED
    return RegisteredOutcome(
        name=f"claim {one.claim} of the study",
        statistic=claim_text(one.claim),
        expected=one.expect,
        outcome=outcome,
        value=None,
        low=None,
        high=None,
        reason="not judged" if verdict is None else f"{said}: {verdict.reason}",
    )


def _own_outcome(
    one: OwnClaim, seeds: Sequence[int], last: int | None, measurements: pl.DataFrame, performance: pl.DataFrame
) -> RegisteredOutcome:
    places = [one.of] if one.less is None else [one.of, one.less]
    table = performance if one.quantity == ACCURACY else _of_quantity(measurements, one)
    rows = [[_row(table, place, seed, one.epoch) for place in places] for seed in seeds]
    unit = "" if one.quantity == ACCURACY else "nats"
    like = RegisteredOutcome(one.name, one.statistic, one.expected, OPEN, None, None, None, "", unit)
    if one.epoch is None and last is None:
        return like._replace(reason=_NO_LAST_EPOCH)
    dead = trainings_at_chance(performance)
    for seed, own in zip(seeds, rows, strict=True):
        for place, row in zip(places, own, strict=True):
            if row is None:
                return like._replace(reason=f"not recorded for seed {seed}: {place}")
            if one.epoch is None and last is not None and row["epoch"] < last:
                return like._replace(reason=f"unfinished: seed {seed} is at epoch {row['epoch']} of {last}")
            if (seed, place.training) in dead:
                return like._replace(reason=f"{place.training} training with seed {seed} ended at chance")
            if row.get("saturated"):
                return like._replace(reason=f"saturated for seed {seed}: {place}")
            # Decoders read nothing where they find nothing, and a bias upwards makes "below" only harder to confirm.
            harmless = one.estimator in HELD_OUT or (one.less is None and one.above is None)
            if row.get("null_like") and not harmless:
                return like._replace(reason=f"permuted labels give as much for seed {seed}: {place}")
    known = [[row for row in own if row is not None] for own in rows]
    evidence = _of_accuracy(known) if one.quantity == ACCURACY else _of_information(known)
    border, above = (one.above, True) if one.above is not None else (one.below or 0.0, False)
    judgement = against(evidence.less(border), above=above)(LEVEL)
    outcome = {SUPPORTED: CONFIRMED, CONTRADICTED: REFUTED}.get(judgement.verdict, OPEN)
    interval = evidence.interval()
    low, high = interval.low, interval.high
    if one.quantity == ACCURACY:
        low, high = max(low, -1.0 if one.less else 0.0), min(high, 1.0)
    notes = [f"95 % interval over {interval.basis}"]
    if outcome == OPEN:
        notes.insert(0, f"the interval spans the threshold{needed(evidence.less(border))}")
    caveats = []
    if len(seeds) == 1:
        caveats.append("one seed: about these networks, not about others trained the same way")
    if any(row.get("undersampled") for own in known for row in own):
        caveats.append("undersampled: more examples would change the value")
    if any(row.get("mostly_null") for own in known for row in own):
        caveats.append("mostly null: permuted labels give more than half of a value")
    reason = "; ".join([*notes, *caveats])
    return like._replace(
        outcome=outcome, value=evidence.value, low=low, high=high, reason=reason, caveats=tuple(caveats)
    )


def _of_quantity(measurements: pl.DataFrame, one: OwnClaim) -> pl.DataFrame:
    return measurements.filter(
        pl.col("quantity") == one.quantity,
        pl.col("estimator") == one.estimator,
        pl.col("noise_mode").eq_missing(pl.lit(one.noise)),
        pl.col("class_index").is_null(),
    )


def _row(table: pl.DataFrame, place: Place, seed: int, epoch: int | None) -> dict[str, Any] | None:
    """Return the row of a place at an epoch, by default at the last; None if there is none."""
    wanted = table.filter(
        pl.col("seed") == seed,
        pl.col("training") == place.training,
        pl.col("split") == TEST,
        pl.col("examples") == place.examples,
        pl.col("distortion").eq_missing(pl.lit(place.distortion)),
    )
    if place.level is not None:
        wanted = wanted.filter((pl.col("level") - place.level).abs() < 1e-9 * max(1.0, abs(place.level)))
    if place.layer is not None:
        wanted = wanted.filter(pl.col("layer") == place.layer)
    wanted = wanted.filter(pl.col("epoch") == (pl.col("epoch").max() if epoch is None else epoch))
    return None if wanted.is_empty() else wanted.row(0, named=True)


def _of_information(rows: Sequence[Sequence[Mapping[str, Any]]]) -> Evidence:
    """Return value, or difference, of each seed, with the group means of the examples."""
    signs = (1.0, -1.0)
    values = np.array([sum(sign * row["value_nats"] for sign, row in zip(signs, own, strict=False)) for own in rows])
    groups = [[_groups(row) for row in own] for own in rows]
    if len({len(one) for own in groups for one in own}) > 1:
        groups = [[np.empty(0) for _ in own] for own in groups]
    together = np.array([sum(sign * one for sign, one in zip(signs, own, strict=False)) for own in groups])
    return Paired(values=values, groups=together).evidence()


def _groups(row: Mapping[str, Any]) -> Floats:
    return np.array([np.nan if mean is None else mean for mean in row["group_means"] or ()], dtype=np.float64)


def _of_accuracy(rows: Sequence[Sequence[Mapping[str, Any]]]) -> Evidence:
    """Return accuracy as reports do; of a difference the sides count as independent, so intervals are too long."""
    if len(rows[0]) == 1:
        return accuracy_evidence(*(np.array([float(own[0][name]) for own in rows]) for name in ("accuracy", "n")))
    signs = (1.0, -1.0)
    values = np.array([sum(sign * row["accuracy"] for sign, row in zip(signs, own, strict=False)) for own in rows])
    accuracies, examples = (np.array([[row[name] for row in own] for own in rows]) for name in ("accuracy", "n"))
    return normal_evidence(values, np.sqrt((accuracy_error(accuracies, examples) ** 2).sum(axis=1)))
