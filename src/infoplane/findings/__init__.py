"""The claims of the study as statistics with intervals and verdicts: tested, not asserted."""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from infoplane.findings.curves import read_curves
from infoplane.findings.distortions import distortion_statements
from infoplane.findings.episodes import compression_statements
from infoplane.findings.finding import CLAIMS, ClaimVerdict, Finding, Number, Statement, Verdict, claim_verdict
from infoplane.findings.levels import level_statements
from infoplane.findings.reversals import reversal_statements
from infoplane.findings.sweeps import sweep_statements
from infoplane.findings.textures import texture_statements
from infoplane.findings.trends import trend_statements

__all__ = ["CLAIMS", "ClaimVerdict", "Finding", "Findings", "Number", "Verdict", "find"]


class Findings(NamedTuple):
    """What the records of a run say about the claims."""

    claims: list[ClaimVerdict]
    findings: list[Finding]

    def about(self, claim: int) -> list[Finding]:
        """Return the findings about one claim, those that its verdict rests on first."""
        return sorted((one for one in self.findings if one.claim == claim), key=lambda one: not one.part)


def find(measurements: pl.DataFrame, performance: pl.DataFrame, sweeps: pl.DataFrame | None = None) -> Findings:
    """Test every claim on the records of a run; what was not recorded leaves its claim undecided.

    Args:
        measurements: columns of `records.MEASUREMENT_SCHEMA`, of all studies.
        performance: columns of `records.PERFORMANCE_SCHEMA`, likewise.
        sweeps: as `sweeps.sweep_statements` takes them.
    """
    curves = read_curves(measurements)
    statements: Sequence[Statement] = [
        *trend_statements(curves),
        *level_statements(curves),
        *compression_statements(curves),
        *reversal_statements(curves),
        *distortion_statements(measurements, performance),
        *texture_statements(measurements, performance),
        *sweep_statements(sweeps),
    ]
    claims = [claim_verdict(claim, [one for one in statements if one.claim == claim]) for claim in CLAIMS]
    return Findings(claims, [one.finding() for one in statements])
