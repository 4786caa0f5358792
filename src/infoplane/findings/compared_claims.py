"""Claims whose verdict differs between runs, and findings whose sign does."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from infoplane.findings import Findings
from infoplane.findings.finding import Finding, Verdict
from infoplane.findings.verdict import ClaimVerdict


class ChangedVerdict(NamedTuple):
    """A claim with different verdicts.

    Attributes:
        claim: its number.
        statement: the claim as a sentence.
        verdicts: by name of the run.
        reasons: likewise.
    """

    claim: str
    statement: str
    verdicts: dict[str, Verdict]
    reasons: dict[str, str]


class ChangedSign(NamedTuple):
    """A statistic that is clearly above 0 in one run and clearly below 0 in another.

    Attributes:
        claim: number of the claim that it is about.
        statement: what is true if the claim holds.
        statistic: its name.
        where: layer, quantity and estimator.
        findings: by name of the run, of the runs in which its 95 % interval excludes 0.
    """

    claim: str
    statement: str
    statistic: str
    where: str
    findings: dict[str, Finding]


def changed_verdicts(runs: Mapping[str, Findings]) -> list[ChangedVerdict]:
    """Return the claims on which the runs differ.

    Args:
        runs: findings by name of the run.
    """
    claims: dict[str, dict[str, ClaimVerdict]] = {}
    for name, found in runs.items():
        for one in found.claims:
            claims.setdefault(one.claim, {})[name] = one
    return [
        ChangedVerdict(
            number,
            next(iter(own.values())).statement,
            {name: one.verdict for name, one in own.items()},
            {name: one.reason for name, one in own.items()},
        )
        for number, own in claims.items()
        if len({one.verdict for one in own.values()}) > 1
    ]


def changed_signs(runs: Mapping[str, Findings]) -> list[ChangedSign]:
    """Return the statistics whose 95 % interval lies above 0 in one run and below 0 in another.

    Args:
        runs: findings by name of the run.
    """
    places: dict[tuple[str, ...], dict[str, Finding]] = {}
    for name, found in runs.items():
        for one in found.findings:
            key = (one.claim, one.part, one.statement, one.statistic, one.layer, one.quantity, one.estimator)
            places.setdefault(key, {})[name] = one
    changed = []
    for (claim, _, statement, statistic, *where), own in places.items():
        clear = {name: one for name, one in own.items() if _sign(one)}
        if len({_sign(one) for one in clear.values()}) > 1:
            changed.append(ChangedSign(claim, statement, statistic, ", ".join(filter(None, where)), clear))
    return changed


def _sign(one: Finding) -> int:
    if one.low is None or one.high is None:
        return 0
    return (one.low > 0) - (one.high < 0)


def verdict_sentence(one: ChangedVerdict) -> str:
    """Say the verdicts in one line, e.g. "claim 1: supported in A, contradicted in B"."""
    return f"claim {one.claim}: {_grouped(one.verdicts)}"


def _grouped(verdicts: Mapping[str, Verdict]) -> str:
    names: dict[str, list[str]] = {}
    for name, verdict in verdicts.items():
        names.setdefault(verdict, []).append(name)
    return ", ".join(f"{verdict} in {_listed(own)}" for verdict, own in names.items())


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
