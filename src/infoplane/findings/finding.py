"""Findings: statistics about a claim, each with a 95 % interval and a verdict of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from infoplane.findings.evidence import LEVEL, MOST_SEEDS, Evidence, Interval
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help

# What the records say of a statement.
Verdict = Literal["supported", "contradicted", "undecided"]
NEEDS_SEEDS = "needs at least two seeds: add `--seeds 3`"
SUPPORTED: Verdict = "supported"
CONTRADICTED: Verdict = "contradicted"
UNDECIDED: Verdict = "undecided"
ALL_LAYERS = "mean over layers"
ALL_CURVES = "all layers"


@with_field_help
class Number(NamedTuple):
    """A recorded number that a finding rests on.

    Attributes:
        name: what the number is.
        value: in `unit`.
        unit: empty where the number has none.
    """

    name: str
    value: float
    unit: str = ""


@with_short_repr
@dataclass(frozen=True, kw_only=True)
class Finding:
    """One statistic about a claim, with its verdict. Information is in nats."""

    claim: str  # its number
    part: str  # of the claim, where the finding is primary; otherwise ""
    statement: str  # what is true if the claim holds
    statistic: str
    layer: str
    estimator: str  # with "@" and the mode of the noise, where that is not fixed
    quantity: str
    value: float | None
    low: float | None  # 95 % interval
    high: float | None
    unit: str  # "nats", "epochs", "" ...
    seeds: int
    verdict: Verdict
    reason: str
    numbers: tuple[Number, ...]


class Judgement(NamedTuple):
    """The verdict of a statistic at one level."""

    verdict: Verdict
    low: float | None
    high: float | None
    reason: str


Judge = Callable[[float], Judgement]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A finding before its level is chosen."""

    statement: str
    statistic: str
    layer: str = ""
    estimator: str = ""
    quantity: str = ""
    value: float | None = None
    unit: str = ""
    seeds: int = 0
    numbers: tuple[Number, ...] = ()
    judge: Judge
    part: str = ""
    scope: str = ""  # which part of the records it rests on, if not all of them

    def finding(self, claim: str) -> Finding:
        """Return the finding about a claim, with its 95 % interval."""
        verdict, low, high, reason = noted(self.judge, self.scope)(LEVEL)
        facts = {name: value for name, value in vars(self).items() if name not in ("judge", "scope")}
        return Finding(**facts, claim=claim, low=low, high=high, verdict=verdict, reason=reason)


def against(evidence: Evidence, *, above: bool, margin: float = 0.0) -> Judge:
    """Judge whether a statistic lies on the claimed side of 0, `above` it or below, by more than a margin.

    Args:
        evidence: of the statistic.
        above: whether the claim wants it above 0.
        margin: differences up to it count as 0; of statistics in nats, the numerical error of the estimators.
    """

    def judge(alpha: float) -> Judgement:
        interval = evidence.interval(alpha)
        side = (interval.low > margin) - (interval.high < -margin)
        verdict = UNDECIDED if side == 0 else SUPPORTED if (side > 0) == above else CONTRADICTED
        place = _place(interval, margin) + (needed(evidence, margin) if verdict == UNDECIDED else "")
        return Judgement(verdict, interval.low, interval.high, f"{place}; {basis_of(evidence, interval)}")

    return judge


def needed(evidence: Evidence, margin: float = 0.0) -> str:
    """Say how many seeds of this mean and spread would decide; nothing for one seed."""
    if len(evidence.values) < 2:
        return ""
    number = evidence.seeds_needed(margin)
    return f", {number} such seeds would decide" if number else f", and {MOST_SEEDS} such seeds would not decide"


def _place(interval: Interval, margin: float) -> str:
    beyond = f" by more than {margin:g} nats" if margin else ""
    if interval.low > margin:
        return f"the interval lies above 0{beyond}"
    if interval.high < -margin:
        return f"the interval lies below 0{beyond}"
    if interval.low <= 0 <= interval.high:
        return "the interval spans 0"
    return f"the interval does not clear 0 by {margin:g} nats, the numerical error"


def noted(judge: Judge, note: str) -> Judge:
    """Judge likewise, and add a note to the reason."""

    def judge_with_note(alpha: float) -> Judgement:
        found = judge(alpha)
        return found._replace(reason=f"{found.reason}; {note}") if note else found

    return judge_with_note


def all_of(judges: Sequence[Judge]) -> Judge:
    """Support what every judge supports, and contradict what the first contradicts; the interval is that of the first.

    An intersection-union test: each judge may use the whole level.
    """

    def judge(alpha: float) -> Judgement:
        found = [one(alpha) for one in judges]
        if found[0].verdict == CONTRADICTED:
            return found[0]
        short = next((one for one in found if one.verdict != SUPPORTED), found[0])
        return found[0]._replace(verdict=SUPPORTED if short.verdict == SUPPORTED else UNDECIDED, reason=short.reason)

    return judge


def undecidable(reason: str) -> Judge:
    """Leave it undecided, for a reason."""
    return lambda _: Judgement(UNDECIDED, None, None, reason)


def basis_of(evidence: Evidence, interval: Interval) -> str:
    """Say which errors an interval covers."""
    seeds = len(evidence.values)
    if seeds == 1:
        return "one seed: the interval covers the choice of examples and not the spread between trainings"
    wider = {"examples": "choice of examples", "seeds": f"spread over {seeds} seeds"}[interval.basis]
    return f"the interval covers the choice of examples and the spread over {seeds} seeds, mostly the {wider}"
