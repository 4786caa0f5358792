"""What a reader may conclude from the verdict on a claim, in words, from the findings that it rests on."""

from collections.abc import Sequence

from infoplane.findings import ClaimVerdict, Finding, Findings
from infoplane.findings.claims import CLAIMS
from infoplane.findings.finding import CONTRADICTED, SUPPORTED, UNDECIDED
from infoplane.report.labels import estimator_label
from infoplane.text import counted

_CLAIM = {SUPPORTED: "The claim holds", CONTRADICTED: "The claim does not hold"}
_OPEN = "Nothing for or against the claim as a whole."
_PARTS = {SUPPORTED: "Supported", CONTRADICTED: "Contradicted", UNDECIDED: "Open"}


def conclusion(claim: ClaimVerdict, found: Findings) -> tuple[str, list[str]]:
    """Return whether the claim holds, and for what; then what is supported in it, what contradicted and what open.

    If no part of the claim is decided, the second is empty.
    """
    parts = [one for one in found.about(claim.claim) if one.part]
    if all(one.verdict == UNDECIDED for one in parts):
        return f"{_OPEN} None of its parts is decided.", []
    lead = _OPEN if claim.verdict == UNDECIDED else f"{_CLAIM[claim.verdict]} {_extent(claim, parts)}."
    if claim.verdict == UNDECIDED and max(one.seeds for one in parts) == 1:
        lead += " What follows is true of the networks of one seed, and other seeds may differ."
    groups = {verdict: _items([one for one in parts if one.verdict == verdict], parts) for verdict in _PARTS}
    return lead, [f"{_PARTS[verdict]}: {'; '.join(items)}." for verdict, items in groups.items() if items]


def _extent(claim: ClaimVerdict, parts: Sequence[Finding]) -> str:
    """Say for which networks a verdict is true."""
    if not next(one.trainings for one in CLAIMS if one.number == claim.claim):
        return "for points that were drawn without a network"
    seeds = max(one.seeds for one in parts)
    return "for these networks, of one seed" if seeds == 1 else f"over {counted(seeds, 'seed')}"


def _items(own: Sequence[Finding], parts: Sequence[Finding]) -> list[str]:
    """Return each statement once, and if it was measured in several ways, by which of them."""
    ways: dict[str, list[str]] = {}
    for one in own:
        alike = [two for two in parts if two.statement == one.statement]
        ways.setdefault(one.statement, []).append(_way(one, alike))
    return [
        f"{statement}, by {', '.join(dict.fromkeys(names))}" if all(names) else statement
        for statement, names in ways.items()
    ]


def _way(one: Finding, alike: Sequence[Finding]) -> str:
    """Return in what a finding differs from the others with the same statement; nothing if there are no others."""
    for name in ("quantity", "statistic", "estimator"):
        if len({getattr(two, name) for two in alike}) > 1:
            return estimator_label(one.estimator) if name == "estimator" else str(getattr(one, name))
    return ""
