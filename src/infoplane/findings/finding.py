"""What is said about a claim: findings, their verdicts, and the verdict of the whole claim.

Every finding carries a 95 % interval of its own. A claim rests only on its primary findings, chosen before any data
were seen: one estimator per quantity (`curves.PRIMARY`), averaged over the layers that can speak, on original examples.
All others are there to be looked at, and their intervals are not corrected for their number.

A claim has parts, which all have to hold. It is `supported` where every part is: an intersection-union test, which
needs no correction. It is `contradicted` where any part is at alpha divided by the number of parts, which is the first
step of Holm's procedure. A part with several findings (that accuracy *can* rise: at some level) is supported where any
of them is, at alpha divided by their number, and contradicted where all are.

Source: Berger (1982), Technometrics 24, 295 (intersection-union); Holm (1979), Scand. J. Statist. 6, 65.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from infoplane.findings.evidence import LEVEL, Evidence, Interval

Verdict = Literal["supported", "contradicted", "undecided"]
SUPPORTED: Verdict = "supported"
CONTRADICTED: Verdict = "contradicted"
UNDECIDED: Verdict = "undecided"
ALL_LAYERS = "mean over layers"
ALL_CURVES = "all layers"

CLAIMS = {
    1: "Both informations follow the same trend over epochs on original and on adversarial examples.",
    2: "Adversarial training lags: its curves rise later, and its final I(X;T) and I(T;Y) are lower.",
    3: "A compression phase is almost never seen, and the estimates do not always fall with depth.",
    4: "Normal training prefers texture, adversarial training shape.",
    5: "Adversarial examples carry texture of other classes: strong saturation can raise normal training's accuracy.",
    6: "The estimates are functions of the geometry of the layer's outputs.",
}


class Number(NamedTuple):
    """A recorded number that a finding rests on."""

    name: str
    value: float
    unit: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One statistic about a claim, with what it says. Information is in nats."""

    claim: int
    part: str  # of the claim, where the finding is primary; otherwise ""
    statement: str  # what would be so if the claim held
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


class ClaimVerdict(NamedTuple):
    """What the primary findings say about a claim together."""

    claim: int
    statement: str
    verdict: Verdict
    reason: str


class Judgement(NamedTuple):
    """What a statistic says at one level."""

    verdict: Verdict
    low: float | None
    high: float | None
    reason: str


Judge = Callable[[float], Judgement]


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A finding before its level is chosen."""

    claim: int
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

    def finding(self) -> Finding:
        """Return the finding with its 95 % interval."""
        verdict, low, high, reason = self.judge(LEVEL)
        facts = {name: value for name, value in vars(self).items() if name != "judge"}
        return Finding(**facts, low=low, high=high, verdict=verdict, reason=reason)


def against(evidence: Evidence, border: float, *, above: bool) -> Judge:
    """Judge whether a statistic lies on the claimed side of a border: `above` it or below."""

    def judge(alpha: float) -> Judgement:
        interval = evidence.interval(alpha)
        side = _side(interval, border)
        reason = f"the interval {_SIDES[side]} {border:g}; {basis_of(evidence, interval)}"
        return Judgement(_verdict(side, above=above), interval.low, interval.high, reason)

    return judge


def noted(judge: Judge, note: str) -> Judge:
    """Judge likewise, and add a note to the reason."""

    def judge_with_note(alpha: float) -> Judgement:
        found = judge(alpha)
        return found._replace(reason=f"{found.reason}; {note}") if note else found

    return judge_with_note


def undecidable(reason: str) -> Judge:
    """Judge nothing: the records cannot say."""
    return lambda _: Judgement(UNDECIDED, None, None, reason)


_SIDES = {1: "lies above", -1: "lies below", 0: "spans"}


def _side(interval: Interval, border: float) -> int:
    return (interval.low > border) - (interval.high < border)


def _verdict(side: int, *, above: bool) -> Verdict:
    if side == 0:
        return UNDECIDED
    return SUPPORTED if (side > 0) == above else CONTRADICTED


def basis_of(evidence: Evidence, interval: Interval) -> str:
    """Say what an interval is about."""
    seeds = len(evidence.values)
    if seeds == 1:
        return "one seed: the interval covers the choice of examples, not another training"
    if interval.basis == "seeds":
        return f"the interval rests on the spread over {seeds} seeds"
    return f"the interval rests on the choice of examples, wider than the spread over {seeds} seeds"


def claim_verdict(claim: int, statements: Sequence[Statement]) -> ClaimVerdict:
    """Bring the primary statements about a claim together, as the head of this file says."""
    parts: dict[str, list[Statement]] = {}
    for one in statements:
        if one.part:
            parts.setdefault(one.part, []).append(one)
    found = {name: _part_verdict(own, LEVEL) for name, own in parts.items()}
    refuted = [name for name, own in parts.items() if _part_verdict(own, LEVEL / len(parts)) == CONTRADICTED]
    if refuted:
        verdict, reason = CONTRADICTED, f"the records contradict: {', '.join(refuted)}"
        decisive = [one for name in refuted for one in parts[name]]
    elif found and all(one == SUPPORTED for one in found.values()):
        verdict, reason = SUPPORTED, "every part is supported"
        decisive = [one for own in parts.values() for one in own]
    else:
        reasons: dict[str, list[str]] = {}
        for name in (name for name, one in found.items() if one != SUPPORTED):
            reasons.setdefault(parts[name][0].judge(LEVEL).reason.partition(";")[0], []).append(name)
        return ClaimVerdict(
            claim, CLAIMS[claim], UNDECIDED, "; ".join(f"{why} ({', '.join(names)})" for why, names in reasons.items())
        )
    if any(one.seeds == 1 for one in decisive):
        reason += "; by one seed: about these networks, not about others trained likewise"
    return ClaimVerdict(claim, CLAIMS[claim], verdict, reason)


def _part_verdict(statements: Sequence[Statement], alpha: float) -> Verdict:
    if any(one.judge(alpha / len(statements)).verdict == SUPPORTED for one in statements):
        return SUPPORTED
    if all(one.judge(alpha).verdict == CONTRADICTED for one in statements):
        return CONTRADICTED
    return UNDECIDED
