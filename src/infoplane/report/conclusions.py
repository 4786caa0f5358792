"""What a reader may conclude from the verdict on a claim, in words, from the findings that it rests on."""

import re
from collections.abc import Sequence

from infoplane.findings import ClaimVerdict, Finding, Findings
from infoplane.findings.claims import CLAIMS
from infoplane.findings.finding import CONTRADICTED, NEEDS_SEEDS, SUPPORTED, UNDECIDED
from infoplane.report.labels import estimator_label
from infoplane.text import counted

_CLAIM = {SUPPORTED: "The run supports the claim", CONTRADICTED: "The run contradicts the claim"}
_OPEN = "The run neither supports nor contradicts the claim."
_ONE_SEED = "One seed does not show how much trainings differ, so the rules count no verdict from it."
_LEVEL = re.compile(r"(.*), level (\S+)")


def conclusion(claim: ClaimVerdict, found: Findings) -> tuple[str, list[str]]:
    """Return what the run says of the claim, then what is supported in it, contradicted and undecided.

    If no part of the claim is decided, the second is empty.
    """
    parts = [one for one in found.about(claim.claim) if one.part]
    lead = _OPEN if claim.verdict == UNDECIDED else f"{_CLAIM[claim.verdict]} {_extent(claim, parts)}."
    if NEEDS_SEEDS in claim.reason:
        lead += f" {_ONE_SEED}"
    if all(one.verdict == UNDECIDED for one in parts):
        return lead, []
    one_seed = ", in these networks of one seed" if max(one.seeds for one in parts) == 1 else ""
    shown = [one for name in dict.fromkeys(one.part for one in parts) for one in _deciding(name, parts)]
    groups = {verdict: _items([one for one in shown if one.verdict == verdict], parts) for verdict in _VERDICTS}
    said = {verdict: "; ".join(items) for verdict, items in groups.items() if items}
    return lead, [f"{verdict.capitalize()}{one_seed}: {items}." for verdict, items in said.items()]


_VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED)


def _extent(claim: ClaimVerdict, parts: Sequence[Finding]) -> str:
    """Say for which networks a verdict is true."""
    if not next((one.trainings for one in CLAIMS if one.number == claim.claim), ("any",)):
        return "for points that were drawn without a network"
    seeds = min(one.seeds for one in parts if not claim.rests_on or one.part in claim.rests_on)
    return "for these networks" if seeds == 1 else f"over {counted(seeds, 'seed')}"


def _deciding(name: str, parts: Sequence[Finding]) -> list[Finding]:
    """Return the findings of a part that give its verdict: one that is supported is enough."""
    own = [one for one in parts if one.part == name]
    verdicts = {one.verdict for one in own}
    verdict = SUPPORTED if SUPPORTED in verdicts else CONTRADICTED if verdicts == {CONTRADICTED} else UNDECIDED
    return [one for one in own if one.verdict == verdict]


def _items(own: Sequence[Finding], parts: Sequence[Finding]) -> list[str]:
    """Return each statement once, with its levels, or with the ways in which it was measured if there are several."""
    levels: dict[str, list[str]] = {}
    ways: dict[str, list[str]] = {}
    for one in own:
        if level := _LEVEL.fullmatch(one.statement):
            levels.setdefault(level[1], []).append(level[2])
        else:
            ways.setdefault(one.statement, []).extend(filter(None, [_way(one, parts)]))
    return [
        *(f"{statement}, at level {', '.join(own)}" for statement, own in levels.items()),
        *(f"{statement}, by {_listed(own)}" if own else statement for statement, own in ways.items()),
    ]


def _listed(names: Sequence[str]) -> str:
    """Return names in a row; names with commas are kept apart by semicolons."""
    return ("; " if any("," in name for name in names) else ", ").join(dict.fromkeys(names))


def _way(one: Finding, parts: Sequence[Finding]) -> str:
    """Return in what a finding differs from the others with the same statement; nothing if there are no others."""
    alike = [two for two in parts if two.statement == one.statement]
    for name in ("quantity", "statistic", "estimator"):
        if len({getattr(two, name) for two in alike}) > 1:
            return estimator_label(one.estimator) if name == "estimator" else str(getattr(one, name))
    return ""
