"""Section of the page that compares runs: claims with different verdicts, and statistics with opposite signs."""

from collections.abc import Mapping
from html import escape

from infoplane.findings import Findings
from infoplane.findings.compared_claims import changed_signs, changed_verdicts
from infoplane.findings.finding import Finding
from infoplane.report.compare_tables import BITS, head
from infoplane.report.page_section import PageSection
from infoplane.report.page_tables import scrollable

_ABOUT = (
    "<p>Each run is judged by its own records, as on its own page. A verdict can change because a run has other "
    "settings, or only because it has fewer seeds or examples: the reasons say which.</p>"
)


def compared_claims_section(findings: Mapping[str, Findings]) -> PageSection:
    """Return the section.

    Args:
        findings: by name of the run.
    """
    return PageSection("claims", "Findings that change", f"{_ABOUT}{_verdicts(findings)}{_signs(findings)}")


def _verdicts(findings: Mapping[str, Findings]) -> str:
    changed = changed_verdicts(findings)
    if not changed:
        return "<p>Every claim has the same verdict in all runs.</p>"
    lines = []
    for one in changed:
        cells = "".join(
            f'<td class="words"><strong>{one.verdicts[name]}</strong> {escape(one.reasons[name])}</td>'
            if name in one.verdicts
            else "<td>-</td>"
            for name in findings
        )
        lines.append(
            f'<tr><th scope="row">{escape(one.claim)}</th><td class="words">{escape(one.statement)}</td>{cells}</tr>'
        )
    heads = head("Claim", "Statement", *findings)
    return scrollable("Claims with different verdicts", f"{heads}<tbody>{''.join(lines)}</tbody>")


def _signs(findings: Mapping[str, Findings]) -> str:
    changed = changed_signs(findings)
    if not changed:
        return "<p>No statistic is clearly above 0 in one run and clearly below 0 in another.</p>"
    lines = "".join(
        f'<tr><th scope="row">{escape(one.claim)}</th><td class="words">{escape(one.statistic)}</td>'
        f'<td class="words">{escape(one.where)}</td>'
        f"{''.join(f'<td>{_finding(one.findings.get(name))}</td>' for name in findings)}</tr>"
        for one in changed
    )
    return scrollable(
        "Statistics with opposite signs, whose 95 % intervals exclude 0 (not corrected for their number)",
        f"{head('Claim', 'Statistic', 'Where', *findings)}<tbody>{lines}</tbody>",
    )


def _finding(one: Finding | None) -> str:
    if one is None or one.value is None or one.low is None or one.high is None:
        return "&ndash;"
    scale, unit = (BITS, "bits") if one.unit == "nats" else (1.0, one.unit)
    return f"{scale * one.value:+.2f} ({scale * one.low:+.2f} to {scale * one.high:+.2f}) {escape(unit)}"
