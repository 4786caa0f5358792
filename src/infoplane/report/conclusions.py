"""What a reader may conclude from the verdict on a claim, in words, from the findings that it rests on."""

import re
from collections.abc import Sequence

from infoplane.findings import ClaimVerdict, Finding, Findings
from infoplane.findings.claims import CLAIMS
from infoplane.findings.finding import CONTRADICTED, NEEDS_SEEDS, SUPPORTED, UNDECIDED
from infoplane.report.labels import estimator_label
from infoplane.text import counted

_CLAIM = {SUPPORTED: "The claim holds", CONTRADICTED: "The claim does not hold"}
_OPEN = "Nothing for or against the claim as a whole."
_PARTS = {SUPPORTED: "Holds", CONTRADICTED: "Does not hold", UNDECIDED: "Cannot be told"}
_LEVEL = re.compile(r"(.*), level (\S+)")


def conclusion(claim: ClaimVerdict, found: Findings) -> tuple[str, list[str]]:
    """Return whether the claim holds, and for what; then what is supported in it, what contradicted and what open.

    If no part of the claim is decided, the second is empty.
    """
    parts = [one for one in found.about(claim.claim) if one.part]
    if all(one.verdict == UNDECIDED for one in parts):
        return f"{_OPEN} None of its parts is decided.", []
    lead = _OPEN if claim.verdict == UNDECIDED else f"{_CLAIM[claim.verdict]} {_extent(claim, parts)}."
    extent = " (for these networks, of one seed)" if max(one.seeds for one in parts) == 1 else ""
    groups = {verdict: _items([one for one in parts if one.verdict == verdict], parts) for verdict in _PARTS}
    return lead, [f"{_PARTS[verdict]}{extent}: {'; '.join(items)}." for verdict, items in groups.items() if items]


def reasons(claim: ClaimVerdict) -> list[str]:
    """Return why a claim has its verdict: each reason once, without the parts that it is true of."""
    text = _without_asides(claim.reason).replace(NEEDS_SEEDS, "one seed does not show how much trainings differ")
    return list(dict.fromkeys(text.split("; ")))


def _without_asides(text: str) -> str:
    """Leave out what stands between parentheses after a space; names such as I(X;T) remain."""
    kept, depth = "", 0
    for place, sign in enumerate(text):
        if sign == "(" and (depth or text[place - 1 : place] == " "):
            depth += 1
        kept += "" if depth else sign
        depth -= sign == ")" and depth > 0
    return re.sub(r" +(?=[;,.]|$)| +(?= )", "", kept)


def _extent(claim: ClaimVerdict, parts: Sequence[Finding]) -> str:
    """Say for which networks a verdict is true."""
    if not next(one.trainings for one in CLAIMS if one.number == claim.claim):
        return "for points that were drawn without a network"
    seeds = max(one.seeds for one in parts)
    return "for these networks" if seeds == 1 else f"over {counted(seeds, 'seed')}"


def _items(own: Sequence[Finding], parts: Sequence[Finding]) -> list[str]:
    """Return each statement once, with its levels, and with the ways in which it was measured if there are several."""
    ways: dict[str, list[str]] = {}
    for one in own:
        level = _LEVEL.fullmatch(one.statement)
        statement, way = level.groups() if level else (one.statement, _way(one, parts))
        ways.setdefault(statement, []).append(f"at level {way}" if level else f"by {way}" if way else "")
    return [", ".join(filter(None, (statement, _joined(names)))) for statement, names in ways.items()]


def _joined(ways: Sequence[str]) -> str:
    """Join "by a", "by b" to "by a, b"."""
    names = list(dict.fromkeys(filter(None, ways)))
    return ", ".join([*names[:1], *(name.partition(" ")[2].removeprefix("level ") for name in names[1:])])


def _way(one: Finding, parts: Sequence[Finding]) -> str:
    """Return in what a finding differs from the others with the same statement; nothing if there are no others."""
    alike = [two for two in parts if two.statement == one.statement]
    for name in ("quantity", "statistic", "estimator"):
        if len({getattr(two, name) for two in alike}) > 1:
            return estimator_label(one.estimator) if name == "estimator" else str(getattr(one, name))
    return ""
