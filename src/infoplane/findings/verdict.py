"""The verdict of a whole claim, from the statements that decide it.

Every finding has a 95 % interval of its own. A claim rests only on its primary findings, which are chosen by rule and
never by what they say: one estimator per quantity (`curves.PRIMARY`), averaged over the layers that are neither
saturated nor null-like, on original examples. The other findings are shown beside them, and their intervals are not
corrected for multiple tests.

A claim has parts. It is `supported` if all its parts are: an intersection-union test, which needs no correction. It is
`contradicted` if any of its parts is, at alpha divided by the number of parts, the first step of Holm's procedure. A
part with several findings (accuracy rises at some level of saturation) is supported if any of them is, at alpha divided
by their number, and contradicted if all of them are.

A claim that compares methods of training stays undecided with one seed: however many examples it was measured on, one
training of each kind does not show the spread between trainings. Its findings still describe the networks at hand.

Source: Berger (1982), Technometrics 24, 295 (intersection-union); Holm (1979), Scand. J. Statist. 6, 65.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from infoplane.findings.claim import Claim
from infoplane.findings.evidence import LEVEL
from infoplane.findings.finding import CONTRADICTED, NEEDS_SEEDS, SUPPORTED, UNDECIDED, Judgement, Statement, Verdict
from infoplane.records.short_repr import with_short_repr
from infoplane.text import with_field_help

T = TypeVar("T")
_LEVEL = f"{100 * LEVEL:g} %"


@with_field_help
@with_short_repr
class ClaimVerdict(NamedTuple):
    """What the primary findings say about a claim together.

    Attributes:
        claim: its number.
        name: of the claim.
        statement: the claim as a sentence.
        verdict: "supported", "contradicted" or "undecided".
        reason: why the verdict is what it is.
        rests_on: the parts of the claim that decide it; of an undecided claim, the parts that leave it undecided.
    """

    claim: str
    name: str
    statement: str
    verdict: Verdict
    reason: str
    rests_on: tuple[str, ...] = ()


def claim_verdict(claim: Claim, statements: Sequence[Statement]) -> ClaimVerdict:
    """Bring the primary statements about a claim together, by the rules at the head of this file."""
    parts: dict[str, list[Statement]] = {}
    for one in statements:
        if one.part:
            parts.setdefault(one.part, []).append(_of_several_seeds(one) if claim.needs_several_seeds else one)
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
            reasons.append("one seed: the verdict is about these networks, not about others trained the same way")
    return ClaimVerdict(claim.number, claim.name, claim.text, verdict, "; ".join(reasons), tuple(decisive))


def _scope(statements: Sequence[Statement]) -> str:
    return "; ".join(dict.fromkeys(one.scope for one in statements if one.scope))


def _grouped(said: Iterable[tuple[T, str]]) -> dict[T, str]:
    """Return, for each thing that is said, the names that it is said of."""
    names: dict[T, list[str]] = {}
    for what, name in said:
        names.setdefault(what, []).append(name)
    return {what: ", ".join(own) for what, own in names.items()}


def _of_several_seeds(one: Statement) -> Statement:
    """Leave it undecided with a single seed."""

    def judge(alpha: float) -> Judgement:
        found = one.judge(alpha)
        if one.seeds > 1 or found.verdict == UNDECIDED:
            return found
        return found._replace(verdict=UNDECIDED, reason=NEEDS_SEEDS)

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
