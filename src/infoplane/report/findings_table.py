"""Show whether the study's claims hold in a run: terminal table, HTML and JSON."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from infoplane.findings import ClaimVerdict, Finding, Findings
from infoplane.findings.curves import PRIMARY
from infoplane.findings.finding import ALL_CURVES, ALL_LAYERS, CONTRADICTED, NEEDS_SEEDS, SUPPORTED, UNDECIDED
from infoplane.report.conclusions import conclusion
from infoplane.report.labels import estimator_label

_STYLES = {SUPPORTED: "green", CONTRADICTED: "red", UNDECIDED: "dim"}
_VERDICTS = (SUPPORTED, CONTRADICTED, UNDECIDED)
_COUNTED = 4  # for claims with more parts, reasons are counted


def findings_table(found: Findings) -> Table:
    """Render the verdicts for `rich.console.Console.print`, a line each; HTML and JSON contain all findings."""
    table = Table(
        title="\nThe study's claims, tested", title_justify="left", title_style="bold", box=box.SIMPLE_HEAD,
        show_edge=False, pad_edge=False, caption_justify="left",
        caption="value [95 % interval] of a part that decides, or why nothing is decided;\n"
        "the claims in words, and all parts: findings in report.html, findings.json",
    )  # fmt: skip
    table.add_column("claim", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("numbers")  # texts are cut: if this column did not wrap, all other columns would become narrower
    for one in found.claims:
        numbers = Text(_decisive_number(one, found), no_wrap=True, overflow="ellipsis")
        table.add_row(Text(f"{one.claim} {one.name}"), Text(one.verdict, style=_STYLES[one.verdict]), numbers)
    return table


def _deciding(claim: ClaimVerdict, found: Findings) -> Finding | None:
    """Return a finding with a number and with the verdict of the claim, of a part that decides it; None without one."""
    parts = [one for one in found.about(claim.claim) if one.part and one.part in claim.rests_on]
    alike = [one for one in parts if one.verdict == claim.verdict]
    return next((one for one in alike if one.value is not None and math.isfinite(one.value)), None)


def _decisive_number(claim: ClaimVerdict, found: Findings) -> str:
    """Return the number that decides the verdict, and the reason if it is undecided; the reason alone without one."""
    one = _deciding(claim, found)
    if one is None:
        return why(claim, found)
    reason = f": {one.reason.partition(';')[0]}" if claim.verdict == UNDECIDED else ""
    return f"{with_interval(one)} {_name(one)}{reason}"


def with_interval(one: Finding) -> str:
    """Return the value of a finding with its 95 % interval, information in bits."""
    low, high = (number_text(end, one.unit, bare=True) for end in (one.low, one.high))
    return f"{number_text(one.value, one.unit)} [{low}, {high}]"


def _name(one: Finding) -> str:
    if one.statistic.startswith(one.part):
        return one.statistic
    return one.part if one.statistic in one.part else f"{one.part}: {one.statistic}"


def why(claim: ClaimVerdict, found: Findings) -> str:
    """Return the reason for a verdict; if many parts are undecided, return the number of parts for each reason."""
    parts: dict[str, list[Finding]] = {}
    for one in found.about(claim.claim):
        if one.part:
            parts.setdefault(one.part, []).append(one)
    if claim.verdict != UNDECIDED or len(parts) <= _COUNTED:
        return claim.reason
    if NEEDS_SEEDS in claim.reason and any(one.verdict != UNDECIDED for own in parts.values() for one in own):
        return NEEDS_SEEDS  # what the parts say of these networks does not count
    counts = Counter(_standing(own) for own in parts.values())
    return f"{len(parts)} parts: {', '.join(f'{number} {standing}' for standing, number in counts.items())}"


def _standing(part: Sequence[Finding]) -> str:
    verdicts = {one.verdict for one in part}
    if SUPPORTED in verdicts:
        return SUPPORTED
    if verdicts == {CONTRADICTED}:
        return CONTRADICTED
    reason = next(one.reason for one in part if one.verdict == UNDECIDED).partition(";")[0]
    return f"{UNDECIDED} ({': '.join(reason.split(': ')[:2])})"  # the text after a second colon names layers


def findings_json(found: Findings) -> str:
    """Return claims and findings as JSON, information in nats; infinite and undefined numbers are null."""
    content = {
        "unit": "nats",
        "claims": [one._asdict() for one in found.claims],
        "findings": [
            {**_finite(asdict(one)), "numbers": [_finite(number._asdict()) for number in one.numbers]}
            for one in found.findings
        ],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _finite(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in facts.items()
    }


def findings_html(found: Findings) -> str:
    """Return a card for each claim: its verdict, the number that decides it, and all findings folded away, in bits."""
    return "".join(_card(one, found) for one in found.claims)


def _card(one: ClaimVerdict, found: Findings) -> str:
    own = found.about(one.claim)
    main, others = [two for two in own if two.part], [two for two in own if not two.part]
    name = f"claim-{escape(one.claim)}"
    head = "What would decide it" if one.verdict == UNDECIDED else "Why"
    facts = {
        "Number that decides": escape(deciding_number(one, found)),
        head: _with_code(why(one, found)),
        "What a reader may conclude": _concluded(one, found),
    }
    listed = "".join(f"<dt>{head}</dt><dd>{text}</dd>" for head, text in facts.items())
    tables = _findings(f"Claim {one.claim}: what the verdict rests on", main)
    if others:
        shown = [two for two in others if two.estimator in _SHOWN or two.layer in (ALL_LAYERS, ALL_CURVES)]
        caption = f"Claim {one.claim}, means over layers by every estimator, layers by the primary ones"
        more = f"Claim {one.claim}: {len(others)} findings more, whose intervals are not corrected for their number"
        folded = _counts(one.claim, others) + _findings(caption, shown)
        tables += f'<details class="more"><summary>{more}</summary>{folded}</details>'
    return (
        f'<article class="claim" aria-labelledby="{name}"><h3 id="{name}">{escape(f"{one.claim} {one.name}")} '
        f'<span class="verdict {one.verdict}">{one.verdict}</span></h3><p>{escape(one.statement)}</p>'
        f"<dl>{listed}</dl><details><summary>All numbers of claim {escape(one.claim)}</summary>{tables}</details>"
        "</article>"
    )


def _concluded(claim: ClaimVerdict, found: Findings) -> str:
    lead, items = conclusion(claim, found)
    return f"{escape(lead)}<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>" if items else escape(lead)


def deciding_number(claim: ClaimVerdict, found: Findings) -> str:
    """Return the number that decides a claim, with its interval and name; "-" without one."""
    one = _deciding(claim, found)
    return "-" if one is None else f"{with_interval(one)} {_name(one)}"


_SHOWN = {*PRIMARY.values(), " with ".join(PRIMARY.values()), ""}  # of the other estimators only means and counts


def _findings(caption: str, findings: Sequence[Finding]) -> str:
    """Return a table with two lines for each finding; the second line has the numbers that it rests on."""
    lines = "".join(
        f'<tr><td class="text">{_mark(one.verdict)}</td><td class="words">{escape(one.statement)}</td>'
        f'<td class="words">{escape(_measured_as(one))}</td><td class="text">{escape(one.layer or "-")}</td>'
        f"<td>{number_text(one.value, one.unit)}</td><td>{_interval(one)}</td><td>{one.seeds or '-'}</td>"
        f'<td class="words">{_with_code(one.reason)}</td></tr>{_rests_on(one)}'
        for one in findings
    )
    return _table(caption, _HEADS, lines)


_HEADS = ("Verdict", "If the claim held", "Measured as", "Layer", "Value", "95 % interval", "Seeds", "Why")


def _measured_as(finding: Finding) -> str:
    return "; ".join(filter(None, (finding.statistic, _estimator(finding))))


def _counts(claim: str, findings: Sequence[Finding]) -> str:
    """Return how often each verdict occurs, per statistic and estimator, over layers, trainings and examples."""
    counted: dict[tuple[str, str, str], Counter[str]] = {}
    for one in findings:
        counted.setdefault((one.statistic, one.quantity, _estimator(one)), Counter())[one.verdict] += 1
    lines = "".join(
        "<tr>"
        + "".join(f'<td class="text">{escape(text or "-")}</td>' for text in key)
        + "".join(f"<td>{counter[verdict]}</td>" for verdict in _VERDICTS)
        + "</tr>"
        for key, counter in counted.items()
    )
    return _table(
        f"Claim {claim}, counted", ("Statistic", "Quantity", "Estimator", *map(str.capitalize, _VERDICTS)), lines
    )


def _table(caption: str, heads: Sequence[str], lines: str) -> str:
    cells = "".join(f'<th scope="col" class="text">{escape(head)}</th>' for head in heads)
    name = escape(caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table><caption>{name}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _mark(verdict: str) -> str:
    return verdict if verdict == UNDECIDED else f"<strong>{verdict}</strong>"


def _estimator(finding: Finding) -> str:
    return " with ".join(estimator_label(name) for name in finding.estimator.split(" with ") if name)


def _rests_on(finding: Finding) -> str:
    numbers = "; ".join(f"{one.name}: {number_text(one.value, one.unit)}" for one in finding.numbers)
    text = f'<td class="words" colspan="{len(_HEADS) - 1}">Rests on {escape(numbers)}</td>'
    return f'<tr class="rests"><td></td>{text}</tr>' if numbers else ""


def _interval(finding: Finding) -> str:
    if finding.low is None or finding.high is None:
        return "-"
    if not (math.isfinite(finding.low) and math.isfinite(finding.high)):
        return "unknown"
    return f"{number_text(finding.low, finding.unit, bare=True)} to {number_text(finding.high, finding.unit)}"


def number_text(value: float | None, unit: str, *, bare: bool = False) -> str:
    """Return a number with its unit, or bare without it; nats in bits."""
    if value is None or not math.isfinite(value):
        return "-"
    shown = value / math.log(2) if unit == "nats" else value
    text = f"{shown:.0f}" if float(shown).is_integer() and unit != "nats" else f"{shown:.3f}"
    name = "" if bare else {"nats": "bits"}.get(unit, unit)
    return f"{text} {name}".strip() if text.strip("-0.") else f"{text.lstrip('-')} {name}".strip()


def _with_code(text: str) -> str:
    """Return text as HTML, with what stands between backticks as code that is not broken over lines."""
    return re.sub(r"`([^`]*)`", r'<code style="white-space: nowrap">\1</code>', escape(text))
