"""What is said about a claim: findings, their verdicts, and the verdict of the whole claim.

Every finding carries a 95 % interval of its own. A claim rests only on its primary findings, chosen by rule and never
by what they say: one estimator per quantity (`curves.PRIMARY`), averaged over the layers that can speak, on originals.
All others are there to be looked at, and their intervals are not corrected for their number.

A claim has parts, which all have to hold. It is `supported` where every part is: an intersection-union test, which
needs no correction. It is `contradicted` where any part is at alpha divided by the number of parts, which is the first
step of Holm's procedure. A part with several findings (that accuracy *can* rise: at some level) is supported where any
of them is, at alpha divided by their number, and contradicted where all are.

Claims about methods of training cannot rest on one seed: however many examples it was measured on, one training of each
kind says nothing of the spread between trainings. Such claims stay undecided; their findings keep what they say about
the networks at hand.

Source: Berger (1982), Technometrics 24, 295 (intersection-union); Holm (1979), Scand. J. Statist. 6, 65.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeVar

from infoplane.findings.evidence import LEVEL, Evidence, Interval
from infoplane.short_repr import with_short_repr

T = TypeVar("T")

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

ABOUT_METHODS = (2, 4)  # claims that compare methods of training: one seed has no spread between trainings
_LEVEL = f"{100 * LEVEL:g} %"


class Number(NamedTuple):
    """A recorded number that a finding rests on."""

    name: str
    value: float
    unit: str = ""


@with_short_repr
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


@with_short_repr
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
    scope: str = ""  # how much of what was recorded it rests on, where the claim should say so

    def finding(self) -> Finding:
        """Return the finding with its 95 % interval."""
        verdict, low, high, reason = noted(self.judge, self.scope)(LEVEL)
        facts = {name: value for name, value in vars(self).items() if name not in ("judge", "scope")}
        return Finding(**facts, low=low, high=high, verdict=verdict, reason=reason)


def against(evidence: Evidence, *, above: bool, margin: float = 0.0) -> Judge:
    """Judge whether a statistic lies on the claimed side of 0, `above` it or below, by more than a margin.

    Args:
        evidence: of the statistic.
        above: whether the claim wants it above 0.
        margin: what is as good as 0; of statistics in nats, what the estimators promise.
    """

    def judge(alpha: float) -> Judgement:
        interval = evidence.interval(alpha)
        side = (interval.low > margin) - (interval.high < -margin)
        verdict = UNDECIDED if side == 0 else SUPPORTED if (side > 0) == above else CONTRADICTED
        return Judgement(
            verdict, interval.low, interval.high, f"{_place(interval, margin)}; {basis_of(evidence, interval)}"
        )

    return judge


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


def undecidable(reason: str) -> Judge:
    """Judge nothing: the records cannot say."""
    return lambda _: Judgement(UNDECIDED, None, None, reason)


def basis_of(evidence: Evidence, interval: Interval) -> str:
    """Say what an interval is about."""
    seeds = len(evidence.values)
    if seeds == 1:
        return "one seed: the interval covers the choice of examples, not another training"
    wider = {"examples": "choice of examples", "seeds": f"spread over {seeds} seeds"}[interval.basis]
    return f"the interval covers the choice of examples and the spread over {seeds} seeds, mostly the {wider}"


def claim_verdict(claim: int, statements: Sequence[Statement]) -> ClaimVerdict:
    """Bring the primary statements about a claim together, as the head of this file says."""
    parts: dict[str, list[Statement]] = {}
    for one in statements:
        if one.part:
            parts.setdefault(one.part, []).append(_of_several_seeds(one) if claim in ABOUT_METHODS else one)
    found = {name: _part_verdict(own, LEVEL) for name, own in parts.items()}
    refuted = [name for name, own in parts.items() if _part_verdict(own, LEVEL / len(parts)) == CONTRADICTED]
    verdict: Verdict
    if refuted:
        verdict, decisive, reasons = CONTRADICTED, refuted, [f"the records contradict: {', '.join(refuted)}"]
    elif found and all(one == SUPPORTED for one in found.values()):
        verdict, decisive, reasons = SUPPORTED, list(parts), ["every part is supported"]
    else:
        verdict, decisive = UNDECIDED, [name for name, one in found.items() if one != SUPPORTED]
        why = _grouped(((_why_undecided(parts[name], len(parts)), _scope(parts[name])), name) for name in decisive)
        reasons = [f"{text} ({'; '.join(filter(None, (names, scope)))})" for (text, scope), names in why.items()]
    if verdict != UNDECIDED:
        scopes = _grouped((_scope(parts[name]), name) for name in decisive)
        reasons += [f"{names}: {scope}" for scope, names in scopes.items() if scope]
        if any(one.seeds == 1 for name in decisive for one in parts[name]):
            reasons.append("by one seed: about these networks, not about others trained likewise")
    return ClaimVerdict(claim, CLAIMS[claim], verdict, "; ".join(reasons))


def _scope(statements: Sequence[Statement]) -> str:
    return "; ".join(dict.fromkeys(one.scope for one in statements if one.scope))


def _grouped(said: Iterable[tuple[T, str]]) -> dict[T, str]:
    """Return the names that each thing is said of."""
    names: dict[T, list[str]] = {}
    for what, name in said:
        names.setdefault(what, []).append(name)
    return {what: ", ".join(own) for what, own in names.items()}


def _of_several_seeds(one: Statement) -> Statement:
    """Decide nothing by a single seed."""

    def judge(alpha: float) -> Judgement:
        found = one.judge(alpha)
        if one.seeds > 1 or found.verdict == UNDECIDED:
            return found
        return found._replace(verdict=UNDECIDED, reason="one seed, no spread between trainings")

    return replace(one, judge=judge)


def _part_verdict(statements: Sequence[Statement], alpha: float) -> Verdict:
    if any(one.judge(alpha / len(statements)).verdict == SUPPORTED for one in statements):
        return SUPPORTED
    if all(one.judge(alpha).verdict == CONTRADICTED for one in statements):
        return CONTRADICTED
    return UNDECIDED


def _why_undecided(statements: Sequence[Statement], parts: int) -> str:
    """Say why a part decides nothing; reasons are quoted of its undecided findings alone."""
    if _part_verdict(statements, LEVEL) == CONTRADICTED:
        return f"contradicted at {_LEVEL}, not at {_LEVEL} / {parts} parts"
    found = [one.judge(LEVEL) for one in statements]
    quoted = list(dict.fromkeys(one.reason.partition(";")[0] for one in found if one.verdict == UNDECIDED))
    if len(found) == 1:
        return quoted[0]
    counts = Counter(one.verdict for one in found)
    said = []
    if counts[SUPPORTED]:
        said.append(f"{counts[SUPPORTED]} supported at {_LEVEL}, none at {_LEVEL} / {len(found)} findings")
    if counts[CONTRADICTED]:
        said.append(f"{counts[CONTRADICTED]} contradicted")
    if quoted:
        said.append(f"{counts[UNDECIDED]} undecided: {' or '.join(quoted)}")
    return f"of {len(found)} findings {', '.join(said)}"
